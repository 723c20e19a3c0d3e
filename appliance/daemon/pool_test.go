package daemon

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
)

func TestQuotas(t *testing.T) {
	got, err := quotas(config.QueueLimits{
		Projects: map[string]map[string]string{"*": {"sessions": "5"}, "lab": {"cuda.device": "4", "mem": "1g"}},
		Users:    map[string]map[string]string{"ada": {"cpu": "2.5"}},
	})
	want := sessions.Quotas{
		Project:  sessions.Quota{Sessions: 5},
		Projects: map[string]sessions.Quota{"lab": {Slots: accel.Slots{"cuda.device": 400, "mem": 1 << 30}}},
		Users:    map[string]sessions.Quota{"ada": {Slots: accel.Slots{"cpu": 2500}}},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := quotas(config.QueueLimits{Users: map[string]map[string]string{"bob": {"cuda.device": "many"}}}); err == nil {
		t.Error("a limit that is no number is taken")
	}
}

// TestOwner: a process of the box is a session's by its cgroup, whichever runtime made it.
func TestOwner(t *testing.T) {
	for text, want := range map[string]string{
		"12:memory:/palisade/1f2e3d.ses-abcdefgh2345\n0::/\n":        "ses-abcdefgh2345",
		"0::/palisade/aabbcc/ses-zzzzzzzz7777\n":                     "ses-zzzzzzzz7777",
		"0::/user.slice/user-1000.slice\n":                           "",
		"0::/system.slice/docker-ses-short.scope\n":                  "",
		"0::/palisade/aabbcc/ses-zzzzzzzz7777/engine/worker-0.scope": "ses-zzzzzzzz7777",
	} {
		if got := sessionID.FindString(text); got != want {
			t.Errorf("%q is of %q, want %q", text, got, want)
		}
	}
	if id, ok := owner(os.Getpid()); ok {
		t.Errorf("this test is session %s", id)
	}
	if _, ok := owner(1 << 30); ok {
		t.Error("process " + strconv.Itoa(1<<30) + " is a session's")
	}
}
