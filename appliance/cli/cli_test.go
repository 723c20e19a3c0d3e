package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestVerdict(t *testing.T) {
	route := func(status string, revision int) api.Route {
		return api.Route{ID: "ses-1", Status: status, Revision: revision}
	}
	for _, c := range []struct {
		name   string
		s      api.Service
		want   int
		done   bool
		failed string
	}{
		{"starting", api.Service{Replicas: 1, Revision: 1, Routes: []api.Route{route("PROVISIONING", 1)}}, 1, false, ""},
		{"healthy", api.Service{Replicas: 1, Revision: 1, Routes: []api.Route{route("HEALTHY", 1)}}, 1, true, ""},
		{"one of two", api.Service{Replicas: 2, Revision: 1, Routes: []api.Route{route("HEALTHY", 1)}}, 1, false, ""},
		{"the old revision alone is healthy", api.Service{Replicas: 1, Revision: 2, Routes: []api.Route{route("HEALTHY", 1)}}, 2, false, ""},
		{"rolled back", api.Service{Replicas: 1, Revision: 1, LastError: "no GPU", Routes: []api.Route{route("HEALTHY", 1)}}, 2, false, "revision 2 was rolled back to 1: no GPU"},
		{"a newer change by another", api.Service{Replicas: 1, Revision: 3, Routes: []api.Route{route("HEALTHY", 3)}}, 2, true, ""},
		{"two failures", api.Service{Replicas: 1, Revision: 1, Failures: 2, LastError: "x"}, 1, false, ""},
		{"three failures", api.Service{Replicas: 1, Revision: 1, Failures: 3, LastError: "x"}, 1, false, "3 starts failed in a row, the last: x"},
		{"healthy after failures", api.Service{Replicas: 1, Revision: 1, Failures: 3, Routes: []api.Route{route("HEALTHY", 1)}}, 1, true, ""},
		{"one too many", api.Service{Replicas: 1, Revision: 1, Routes: []api.Route{route("HEALTHY", 1), route("HEALTHY", 1)}}, 1, false, ""},
		{"an older one is left", api.Service{Replicas: 1, Revision: 2, Routes: []api.Route{route("HEALTHY", 1), route("HEALTHY", 2)}}, 2, false, ""},
		{"an older one drains", api.Service{Replicas: 1, Revision: 2, Routes: []api.Route{route("DRAINING", 1), route("HEALTHY", 2)}}, 2, true, ""},
		{"to zero, one left", api.Service{Replicas: 0, Revision: 1, Routes: []api.Route{route("HEALTHY", 1)}}, 1, false, ""},
		{"to zero, draining", api.Service{Replicas: 0, Revision: 1, Routes: []api.Route{route("DRAINING", 1)}}, 1, true, ""},
		{"to zero, ended", api.Service{Replicas: 0, Revision: 1, Routes: []api.Route{route("TERMINATED", 1)}}, 1, true, ""},
		{"removed meanwhile", api.Service{Status: "DESTROYING", Replicas: 1, Revision: 1}, 1, false, "it is being removed"},
		{"held", api.Service{Replicas: 1, Revision: 1, Policy: api.Policy{OnUnhealthy: new("hold")}, Routes: []api.Route{{ID: "ses-1", Status: "UNHEALTHY", Health: "503"}}}, 1, false, "route ses-1 is unhealthy and kept: 503"},
		{"unhealthy, to be replaced", api.Service{Replicas: 1, Revision: 1, Policy: api.Policy{OnUnhealthy: new("replace")}, Routes: []api.Route{route("UNHEALTHY", 1)}}, 1, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if done, failed := verdict(c.s, c.want); done != c.done || failed != c.failed {
				t.Errorf("verdict = %v, %q; want %v, %q", done, failed, c.done, c.failed)
			}
		})
	}
}

// TestWaitErrors: who waits for a change of what serves is not told to remove it, and an image that could not be pulled
// has written no log.
func TestWaitErrors(t *testing.T) {
	started := time.Unix(1, 0)
	for _, c := range []struct {
		name string
		s    api.Service
		want []string
	}{
		{"a new one", api.Service{Revision: 1, Routes: []api.Route{{SessionID: "ses-1", Status: "PROVISIONING", SessionStatus: "RUNNING", StartedAt: &started}}},
			[]string{"its log: palisade session logs ses-1", "what happened: palisade service events chat", "it goes on trying; to end that: palisade service rm chat"}},
		{"an update", api.Service{Revision: 2, HealthyRoutes: 1, Routes: []api.Route{{SessionID: "ses-2", Status: "PROVISIONING", SessionStatus: "PENDING"}}},
			[]string{"why it waits: palisade session info ses-2", "who waits with it: palisade queue --all", "what happened: palisade service events chat",
				"it goes on trying; to go back: palisade service rollback chat"}},
		{"more routes", api.Service{Revision: 1, HealthyRoutes: 1}, []string{"its log: palisade service logs chat", "what happened: palisade service events chat",
			"it goes on trying; to want fewer: palisade service scale chat COUNT"}},
		{"an image", api.Service{Revision: 1, LastError: "pulling ghcr.io/a/b:1: the registry denies access", Recipe: api.Recipe{Image: "ghcr.io/a/b:1"}},
			[]string{"what to do about the image: palisade image pull ghcr.io/a/b:1", "what happened: palisade service events chat", "it goes on trying; to end that: palisade service rm chat"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Name = "chat"
			if d := cmp.Diff(c.want, strings.Split(waitError{service: "chat"}.about(c.s).Hint(), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestVerdictOfWhatNeverFits: what no end of anybody would make room for is said at once; what waits for others is waited for.
func TestVerdictOfWhatNeverFits(t *testing.T) {
	waits := func(predicate string) api.Service {
		return api.Service{Name: "chat", Revision: 2, Replicas: 3, HealthyRoutes: 1, Routes: []api.Route{
			{Status: "HEALTHY", Revision: 2, Claim: &api.Claim{}},
			{SessionID: "ses-2", Status: "PROVISIONING", SessionStatus: "PENDING", Revision: 2, Waits: []api.Wait{{Predicate: predicate, Sentence: "there is room for 1 route", Would: "scale it to 1"}}},
		}}
	}
	for predicate, want := range map[string]string{
		"capacity": "there is room for 1 route; scale it to 1", "selector": "there is room for 1 route; scale it to 1", "resources": "", "user-limit": "",
	} {
		if done, failed := verdict(waits(predicate), 2); done || failed != want {
			t.Errorf("%s: %v %q, want %q", predicate, done, failed, want)
		}
	}
	older := waits("capacity")
	older.Revision = 3 // the route that waits is of the revision before, and on its way out
	if _, failed := verdict(older, 3); failed != "" {
		t.Errorf("an older route: %q", failed)
	}
	want := []string{"what there is, and who has it: palisade top --once", "what happened: palisade service events chat",
		"it goes on trying; to want as many as there is room for: palisade service scale chat 1"}
	if d := cmp.Diff(want, strings.Split(waitError{service: "chat"}.about(waits("capacity")).Hint(), "\n")); d != "" {
		t.Error(d)
	}
}

// TestInterrupted: Ctrl-C is told as what it is, with what goes on without the command.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	var out, problems bytes.Buffer
	p := Program{
		Args: []string{"serve"}, Stdout: &out, Stderr: &problems, LookupEnv: func(string) (string, bool) { return "", false },
		Serve: func(ctx context.Context, _ ServeOptions) error {
			return &hinted{context.Cause(ctx), "sessions go on"}
		},
	}
	if code := p.Run(ctx); code != 1 || problems.String() != "palisade: interrupted\n  hint: sessions go on\n" {
		t.Errorf("%d %q", code, problems.String())
	}
}

func TestParseMount(t *testing.T) {
	for word, want := range map[string]api.Mount{
		"data":       {Folder: "data"},
		"data:/x":    {Folder: "data", Target: "/x"},
		"data:/x:ro": {Folder: "data", Target: "/x", ReadOnly: true},
		"data:/x:rw": {Folder: "data", Target: "/x"},
		"type=bind,source=data,target=/x,permission=ro": {Folder: "data", Target: "/x", ReadOnly: true},
		"source=data":        {Folder: "data"},
		"src=data,dst=/x,ro": {Folder: "data", Target: "/x", ReadOnly: true},
	} {
		got, err := parseMount(word)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", word, err, d)
		}
	}
	for _, word := range []string{"", ":/x", "a:b", "a:/b:rx", "a:/b:ro:c", "type=bind", "source=a,colour=red", "source=a,permission=xx"} {
		if m, err := parseMount(word); err == nil {
			t.Errorf("%q was read as %+v", word, m)
		} else if u, ok := errors.AsType[*usageError](err); !ok || u.hint == "" {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestParsePlace(t *testing.T) {
	for word, want := range map[string]copyPlace{
		"qwen:": {folder: "qwen"}, "qwen:a/b": {"qwen", "a/b"}, "qwen:a:b": {"qwen", "a:b"}, "file": {path: "file"},
		"./a:b": {path: "./a:b"}, "/a:b": {path: "/a:b"}, "a/b:c": {path: "a/b:c"}, ":x": {path: ":x"}, "..": {path: ".."},
	} {
		if got := parsePlace(word); got != want {
			t.Errorf("parsePlace(%q) = %+v, want %+v", word, got, want)
		}
	}
}

func TestWordsForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 2*time.Hour + time.Minute: "2h", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{1500 * time.Millisecond: "1.5s", 10 * time.Second: "10s", 61 * time.Second: "1m01s", time.Hour: "60m00s"} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestTablesAreSafe: what an engine writes must not command the terminal that shows it.
func TestTablesAreSafe(t *testing.T) {
	tb := newTable("NAME", "REASON")
	tb.add("é", "a\nb\x1b[2Jc")
	tb.add("longer", "")
	var out bytes.Buffer
	tb.write(&out)
	if got, want := out.String(), "NAME    REASON\né       a b[2Jc\nlonger\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLostOutputIsAFailure: a result that did not reach its file must not end with 0.
func TestLostOutputIsAFailure(t *testing.T) {
	var stderr bytes.Buffer
	p := Program{
		Args: []string{"completion", "bash"}, Stdin: strings.NewReader(""), Stdout: fullDisk{}, Stderr: &stderr,
		LookupEnv: func(string) (string, bool) { return "", false },
	}
	if code := p.Run(t.Context()); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("exit code %d, stderr %s", code, &stderr)
	}
}
