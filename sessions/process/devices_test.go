package process

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDeviceFiles(t *testing.T) {
	dir := t.TempDir()
	spec := `{"cdiVersion":"0.6.0","kind":"example.com/card",
		"devices":[{"name":"one","containerEdits":{"deviceNodes":[{"path":"/dev/card1","hostPath":"/dev/zero"}]}},
			{"name":"two","containerEdits":{"deviceNodes":[{"path":"/dev/null"},{"path":"/dev/not-there"}]}}],
		"containerEdits":{"deviceNodes":[{"path":"/dev/full"}]}}`
	if err := os.WriteFile(filepath.Join(dir, "card.json"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		devices, want []string
		bad           bool
	}{
		{devices: nil, want: nil},
		{devices: []string{"/dev/zero", "/dev/null", "/dev/zero"}, want: []string{"/dev/null", "/dev/zero"}},
		{devices: []string{"example.com/card=one"}, want: []string{"/dev/full", "/dev/zero"}},
		{devices: []string{"example.com/card=two", "/dev/zero"}, want: []string{"/dev/full", "/dev/null", "/dev/zero"}},
		{devices: []string{"example.com/card=three"}, bad: true},
		{devices: []string{"/dev/not-there"}, bad: true},
		{devices: []string{"/etc/shadow"}, bad: true},
		{devices: []string{"/dev/../etc/shadow"}, bad: true},
	} {
		got, err := deviceFiles(tt.devices, []string{dir})
		if (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, %v", tt.devices, got, err)
		}
	}
}
