package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBundleOfContainers carries a model that runs in a container to a box which has no network: recipe, weights and the engine's
// image are in one signed file, and nothing of one that is not whole is taken.
func TestBundleOfContainers(t *testing.T) {
	const image, sentence = "example.org/llama:1", "I came in a box, with my voice."
	contained := []string{"--runtime", "containerd", "--containerd", "private"}
	dir := t.TempDir()
	key, file := filepath.Join(dir, "maker.key"), filepath.Join(dir, "speaker.bundle")

	made := newInstalling(t, contained...)
	made.run("image", "import", engineImage(t, image))
	made.commit("speaker", sentence)
	made.run("install", "speaker", "--no-calibrate")
	made.says("speaker", sentence)
	made.run("catalog", "keygen", key, "--no-password")
	made.run("bundle", "create", "speaker", "-o", file, "--key", key)
	if out := made.run("bundle", "verify", file); !strings.Contains(out, image) || !strings.Contains(out, "every byte is as it was made") {
		t.Errorf("verify says:\n%s", out)
	}
	made.run("model", "rm", "speaker", "--force")
	made.stop()

	far := &installing{box: newBox(t)}
	far.settings = contained
	far.env = append(far.env, "HF_ENDPOINT=http://127.0.0.1:1") // there is no network
	far.start()
	far.fails(1, []string{"is not trusted", "palisade catalog trust"}, "bundle", "install", file)
	far.run("catalog", "trust", key+".pub")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.bundle")
	for name, bytes := range map[string][]byte{"cut off": whole[:len(whole)-1000], "altered": append(append([]byte{}, whole[:len(whole)/2]...), append([]byte{^whole[len(whole)/2]}, whole[len(whole)/2+1:]...)...)} {
		if err := os.WriteFile(broken, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		far.fails(1, nil, "bundle", "install", broken)
		if images, bundles := far.run("image", "list", "-q"), far.run("bundle", "list", "-q"); images != "" || bundles != "" {
			t.Errorf("%s: images %q, bundles %q", name, images, bundles)
		}
	}
	far.run("bundle", "install", file, "--no-calibrate")
	if images := far.run("image", "list"); !strings.Contains(images, image) {
		t.Errorf("images:\n%s", images)
	}
	far.says("speaker", sentence)
	far.run("model", "verify")
	far.run("model", "rm", "speaker", "--force")
}
