package inside

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nwork:x:1000:1000::/home/work:/usr/sbin/nologin\n"

func TestAccount(t *testing.T) {
	for uid, want := range map[int]account{
		0: {"root", "/root", "/bin/bash"}, 1000: {"work", "/home/work", "/usr/sbin/nologin"}, 7: {},
	} {
		if got := accountOf(uid, passwd); got != want {
			t.Errorf("%d: %v", uid, got)
		}
	}
}

func TestShells(t *testing.T) {
	bare := [][]string{{"bash"}, {"sh"}, {"ash"}, {"busybox", "sh"}}
	for _, tt := range []struct {
		wanted string
		a      account
		first  [][]string
	}{
		{"", account{}, nil},
		{"/bin/zsh", account{}, [][]string{{"/bin/zsh"}}},
		{"", account{shell: "/bin/dash"}, [][]string{{"/bin/dash"}}},
		{"/bin/zsh", account{shell: "/usr/sbin/nologin"}, [][]string{{"/bin/zsh"}}},
		{"/bin/false", account{shell: "/bin/false"}, nil},
	} {
		if d := cmp.Diff(append(tt.first, bare...), shells(tt.wanted, tt.a)); d != "" {
			t.Errorf("%q %v (-want +got):\n%s", tt.wanted, tt.a, d)
		}
	}
}
