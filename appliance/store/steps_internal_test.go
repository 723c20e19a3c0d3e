package store

import (
	"regexp"
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	all := []step{{1, false}, {2, false}, {3, true}, {4, false}, {5, true}, {6, true}, {7, false}}
	for _, c := range []struct{ have, least, to, blocked int64 }{
		{0, 0, 2, 3}, {2, 2, 2, 3}, {2, 3, 4, 5}, {0, 7, 7, 0}, {4, 5, 5, 6}, {4, 6, 7, 0}, {7, 0, 7, 0}, {9, 0, 9, 0}, {3, 2, 4, 5},
	} {
		if to, blocked := reach(all, c.have, c.least); to != c.to || blocked != c.blocked {
			t.Errorf("from %d where %d is known: to %d, %d waits; want %d and %d", c.have, c.least, to, blocked, c.to, c.blocked)
		}
	}
}

// firstWithKind is the first migration that has to be of a kind: what was before is on every box.
const firstWithKind = 28

// unseen are statements that a program does not see that does not know them.
var unseen = regexp.MustCompile(`(?is)^(CREATE TABLE|CREATE INDEX|ALTER TABLE \w+ ADD COLUMN .*|INSERT INTO .*)`)

// wanting is a column that programs have to give a value.
var wanting = regexp.MustCompile(`(?is)ADD COLUMN .*NOT NULL`)

// TestKindsOfSteps: a migration that does more than programs of the release before can bear says that it contracts.
func TestKindsOfSteps(t *testing.T) {
	all, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		if s.version < firstWithKind {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + entries[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		if why := wrongKind(s, string(text)); why != "" {
			t.Errorf("%s: %s", entries[i].Name(), why)
		}
	}
}

func wrongKind(s step, text string) string {
	if s.contract {
		return ""
	}
	var plain strings.Builder
	for line := range strings.Lines(text) {
		if before, _, _ := strings.Cut(line, "--"); strings.TrimSpace(before) != "" {
			plain.WriteString(before)
		}
	}
	made := regexp.MustCompile(`(?i)CREATE TABLE (\w+)`).FindAllStringSubmatch(plain.String(), -1)
	for statement := range strings.SplitSeq(plain.String(), ";") {
		statement = strings.TrimSpace(statement)
		own := false // it is about a table that it makes
		for _, m := range made {
			own = own || regexp.MustCompile(`\b`+m[1]+`\b`).MatchString(statement)
		}
		switch {
		case statement == "" || own:
		case !unseen.MatchString(statement):
			return "a program that does not know it would see " + statement
		case wanting.MatchString(statement) && !strings.Contains(strings.ToUpper(statement), "DEFAULT"):
			return "a program that does not know it would write rows without " + statement
		}
	}
	return ""
}

func TestWrongKinds(t *testing.T) {
	for text, good := range map[string]bool{
		"CREATE TABLE x (a TEXT NOT NULL);\nCREATE UNIQUE INDEX i ON x (a);\nUPDATE x SET a = 1;": true,
		"ALTER TABLE services ADD COLUMN a TEXT NOT NULL DEFAULT '';":                             true,
		"ALTER TABLE services ADD COLUMN a TEXT;\nCREATE INDEX i ON services (a);":                true,
		"ALTER TABLE services ADD COLUMN a TEXT NOT NULL;":                                        false,
		"ALTER TABLE services DROP COLUMN name;":                                                  false,
		"CREATE UNIQUE INDEX i ON services (name);":                                               false,
		"UPDATE services SET name = '';":                                                          false,
		"DROP TABLE services;":                                                                    false,
		"ALTER TABLE services RENAME TO s;":                                                       false,
	} {
		if why := wrongKind(step{version: 99}, text); good != (why == "") {
			t.Errorf("%s: %q", text, why)
		}
	}
	if why := wrongKind(step{99, true}, "DROP TABLE services;"); why != "" {
		t.Error(why)
	}
}
