package shell_test

import (
	"os"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/e2e/shell"
)

func TestShell(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a machine of one's own needs root")
	}
	s, err := shell.Start(t.TempDir(), []string{"PATH=" + os.Getenv("PATH"), "WHO=me"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		command, printed string
		code             int
	}{
		{"echo one; echo two >&2", "one\ntwo\n", 0},
		{"printf 'no end of a line'", "no end of a line", 0},
		{"x=5; cd /", "", 0},
		{"echo \"$x '$WHO' in $PWD\"", "5 'me' in /\n", 0},
		{"cat <<'END'\na $x\n\nEND", "a $x\n\n", 0},
		{"false", "", 1},
		{"(exit 7)", "", 7},
		{"cat", "", 0},        // nobody types anything to it
		{"echo $$", "1\n", 0}, // its machine has no other processes
	} {
		if printed, code, err := s.Type(c.command, time.Minute); printed != c.printed || code != c.code || err != nil {
			t.Errorf("%s: %q, %d, %v", c.command, printed, code, err)
		}
	}
	if printed, code, err := s.Type("echo 'it does not end", time.Minute); code == 0 || printed == "" || err != nil {
		t.Errorf("a quote that does not end: %q %d %v", printed, code, err)
	}
	if printed, _, err := s.Type("echo before; exit 3", time.Minute); err == nil || printed != "before\n" {
		t.Errorf("a shell that ends: %q %v", printed, err)
	}
	if _, _, err := s.Type("true", time.Minute); err == nil {
		t.Error("it answers after its end")
	}
}
