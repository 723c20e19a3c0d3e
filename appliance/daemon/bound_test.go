package daemon

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
)

// TestImagesOfPipelines: a file of somebody who does not own the box has nothing fetched from it, nor from where machines are told
// their secrets.
func TestImagesOfPipelines(t *testing.T) {
	guard, err := reach.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{guard: guard}
	d.Config.Containerd = config.Containerd{Insecure: []string{"127.0.0.1:5000"}}
	for image, good := range map[string]bool{
		"python:3": true, "ghcr.io/a/b:1": true, "host": true, "127.0.0.1:5000/a": true, "no image at all": true,
		"169.254.169.254/latest:1": false, "127.0.0.1:5001/a": false, "localhost:5001/a": false, "[::1]:5001/a": false, "10.0.0.1/a:1": false,
	} {
		if err := imageOfOthers(image, d.registryOfOthers); (err == nil) != good {
			t.Errorf("%s: %v", image, err)
		}
	}
}
