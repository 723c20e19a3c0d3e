package goods

import (
	"slices"
	"testing"
	"time"
)

func TestGlimpsesAreFew(t *testing.T) {
	now := time.Unix(10_000, 0)
	ago := func(d time.Duration, bytes int64) *glimpsed { return &glimpsed{bytes: bytes, used: now.Add(-d)} }
	for name, c := range map[string]struct {
		all  map[string]*glimpsed
		want []string
	}{
		"others of the folder go":     {map[string]*glimpsed{"a@1": ago(time.Hour, 1), "a@2": ago(2*time.Minute, 1), "a@3": ago(0, 1), "b@1": ago(time.Hour, 1)}, []string{"a@1", "a@2"}},
		"but one that is read":        {map[string]*glimpsed{"a@2": ago(time.Second, 1), "a@3": ago(0, 1)}, nil},
		"who was asked for long ago":  {map[string]*glimpsed{"a@3": ago(0, 1), "b@1": ago(2*time.Hour, mostGlimpses), "c@1": ago(time.Hour, 5)}, []string{"b@1"}},
		"as many as there have to be": {map[string]*glimpsed{"a@3": ago(0, mostGlimpses), "b@1": ago(2*time.Hour, 5), "c@1": ago(time.Hour, 5)}, []string{"b@1", "c@1"}},
		"there is room":               {map[string]*glimpsed{"a@3": ago(0, 7), "b@1": ago(2*time.Hour, 5)}, nil},
	} {
		if got := superfluous(c.all, "a@3", now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What does not fit into a glimpse any more is a hole, and nobody is asked for it.
func TestAFullGlimpse(t *testing.T) {
	p := &peers{} // who is asked panics
	for name, f := range map[string]File{
		"small": {Name: "config.json", Bytes: 1000}, "weights": {Name: "x.gguf", Bytes: 1 << 30}, "tensors": {Name: "x.safetensors", Bytes: 1 << 30},
	} {
		if head, err := p.head(t.Context(), f, 999); err != nil || head != nil {
			t.Errorf("%s: %d bytes, %v", name, len(head), err)
		}
	}
	files := uppermost([]File{{Name: "a/b/c"}, {Name: "a/b"}, {Name: "z"}, {Name: "b/b"}})
	if got := []string{files[0].Name, files[1].Name, files[2].Name, files[3].Name}; !slices.Equal(got, []string{"z", "a/b", "b/b", "a/b/c"}) {
		t.Errorf("in the order %v", got)
	}
}
