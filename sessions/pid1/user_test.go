package pid1

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken:x\napp:x:1234:1235:an app:/home/app:/bin/sh\n1000:x:7:8:::\nbad:x:-1:0::/:/\n"
	group  = "root:x:0:\napps:x:1235:\nvideo:x:44:root,app\nrender:x:109:app\nlost:x:y:app\n"
)

func TestLookUpUser(t *testing.T) {
	for _, c := range []struct {
		says string
		want User
		err  string
	}{
		{"", User{Home: "/root", Groups: []uint32{44}}, ""},
		{"root", User{Home: "/root", Groups: []uint32{44}}, ""},
		{"0", User{Home: "/root", Groups: []uint32{44}}, ""},
		{"app", User{UID: 1234, GID: 1235, Home: "/home/app", Groups: []uint32{44, 109}}, ""},
		{"1234", User{UID: 1234, GID: 1235, Home: "/home/app", Groups: []uint32{44, 109}}, ""},
		{"app:video", User{UID: 1234, GID: 44, Home: "/home/app"}, ""},
		{"app:0", User{UID: 1234, Home: "/home/app"}, ""},
		{"4321", User{UID: 4321, Home: "/"}, ""},
		{"4321:4322", User{UID: 4321, GID: 4322, Home: "/"}, ""},
		{"1000", User{UID: 7, GID: 8}, ""}, // a name first of all
		{"who", User{}, `user "who"`},
		{"app:who", User{}, `group "who"`},
		{"bad", User{}, `user "bad"`},
		{"-1", User{}, `user "-1"`},
		{"99999999999", User{}, "user"},
	} {
		got, err := lookUpUser(c.says, passwd, group)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %+v, %v", c.says, got, err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", c.says, err, diff)
		}
	}
}

// TestUsersThatAreTooMuch: what is kept of a user fits into the file that it is kept in.
func TestUsersThatAreTooMuch(t *testing.T) {
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "g%d:x:%d:app\n", i, i+10)
	}
	for name, c := range map[string][2]string{
		"groups":            {passwd, many.String()},
		"a long home":       {"app:x:1:1::/" + strings.Repeat("x", 100_000) + ":/bin/sh\n", group},
		"a home of no name": {"app:x:1:1::/\x00:/bin/sh\n", group},
	} {
		if u, err := lookUpUser("app", c[0], c[1]); err == nil {
			b, _ := json.Marshal(State{User: u})
			t.Errorf("%s: taken, %d bytes", name, len(b))
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	u, err := lookUpUser("app", passwd, strings.Repeat("video:x:44:app\n", 5000))
	if err != nil || len(u.Groups) != 1 {
		t.Errorf("%d groups, %v", len(u.Groups), err)
	}
}

// FuzzLookUpUser: whatever an image has in its lists, nobody becomes root by a name that does not say so.
func FuzzLookUpUser(f *testing.F) {
	f.Add("app", passwd, group)
	f.Add("1000:apps", "", "::::")
	f.Fuzz(func(t *testing.T, says, passwd, group string) {
		u, err := lookUpUser(says, passwd, group)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(says, ":")
		named := slices.ContainsFunc(strings.Split(passwd, "\n"), func(l string) bool { return strings.HasPrefix(l, name+":") })
		if u.UID == 0 && name != "" && strings.Trim(name, "0+") != "" && !named {
			t.Errorf("%q is root in %q", says, passwd)
		}
	})
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{"chat-1": "chat-1", "a name": "a-name", "": "id", "ä": "-", strings.Repeat("x", 80): strings.Repeat("x", 63)} {
		if got := HostName(in, "id"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTraffic(t *testing.T) {
	text := "Inter-|   Receive\n face |bytes\n    lo:       1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n  eth0:    1500 3 0 0 0 0 0 0 2500 4 0 0 0 0 0 0\n"
	if rx, tx := Traffic(text, "eth0"); rx != 1500 || tx != 2500 {
		t.Errorf("%d, %d", rx, tx)
	}
	if rx, tx := Traffic(text, "eth1"); rx != -1 || tx != -1 {
		t.Errorf("%d, %d", rx, tx)
	}
}
