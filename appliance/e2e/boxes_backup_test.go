package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackupsOfSeveralBoxes: of what the schedule wants one box makes one, the one that decides; whoever is asked lists and makes the
// same; and who decides next knows what was made, and makes no other.
func TestBackupsOfSeveralBoxes(t *testing.T) {
	boxes := newBoxes(t, "one", "two", "three")
	const settings = "backup: {schedule: \"0 3 1 1 *\", recipients: [age1anq3tyv6qzcpxtauscc33mpm6np2rcsjekkmm846q2fsxceweqzsxu7hss]}\n"
	for _, name := range []string{"three", "two", "one"} {
		b := boxes[name]
		file := filepath.Join(filepath.Dir(b.dir), "palisade.yaml")
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, append(text, settings...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.stop()
		b.start()
		b.settled("all are there", func(s clusterStatus) bool { return len(s.alive()) == 3 && s.Leader != "" })
	}
	kept := func() (where []string) {
		for name, b := range boxes {
			files, err := filepath.Glob(filepath.Join(b.dir, "backups", "*.backup"))
			if err != nil {
				t.Fatal(err)
			}
			for range files {
				where = append(where, name)
			}
		}
		return where
	}
	type backup struct {
		Name, State, Box string
		Scheduled        bool
	}
	var made []backup
	listed := func(at string, n int) {
		t.Helper()
		if err := eventually(60*time.Second, func() error {
			made = nil
			out, said, code := boxes[at].cli("backup", "list", "-o", "json")
			if code != 0 {
				return errors.New(said)
			}
			if err := json.Unmarshal([]byte(out), &made); err != nil {
				return err
			}
			if len(made) != n || made[0].State != "done" {
				return fmt.Errorf("%s lists %+v", at, made)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	listed("two", 1)
	maker, first := made[0].Box, made[0]
	if where := kept(); !first.Scheduled || len(where) != 1 || boxes[maker] == nil || where[0] != maker {
		t.Fatalf("%+v lies on %v", first, where)
	}

	for name, b := range boxes { // a stream of all rows, wherever it is asked for
		to := filepath.Join(b.models, "all.backup")
		b.run("backup", "create", "--to", to)
		b.run("backup", "verify", to)
		b.run("backup", "verify", first.Name)
		if name != maker {
			b.run("backup", "create", "-q")
		}
	}
	listed(maker, 3)
	if where := kept(); strings.Count(strings.Join(where, " "), maker) != 3 {
		t.Errorf("backups lie on %v", where)
	}

	boxes[maker].kill()
	other := "one"
	if maker == other {
		other = "two"
	}
	now := boxes[other].settled("another one decides", func(s clusterStatus) bool { return s.Leader != "" && s.Leader != maker })
	if err := eventually(60*time.Second, func() error {
		if out, _, _ := boxes[now.Leader].cli("doctor"); !strings.Contains(out, "backups: "+made[0].Name+" on "+maker) {
			return fmt.Errorf("%s says of backups: %s", now.Leader, out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
