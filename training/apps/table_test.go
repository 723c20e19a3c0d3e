package apps_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/training/apps"
)

func TestTable(t *testing.T) {
	for name, c := range map[string]struct {
		labels   map[string]string
		preopen  []int
		want     []string // name protocol port source, and what else is said of it
		problems int
	}{
		"nothing is said": {want: []string{
			"terminal http 0 built-in", "jupyter http 8888 well-known line", "jupyterlab http 8889 well-known line",
			"code-server http 8180 well-known line strip", "tensorboard http 6006 well-known line",
		}},
		"ports of the owner": {preopen: []int{9000, 8000}, want: []string{
			"terminal http 0 built-in", "8000 http 8000 preopen strip", "9000 http 9000 preopen strip",
			"jupyter http 8888 well-known line", "jupyterlab http 8889 well-known line", "code-server http 8180 well-known line strip", "tensorboard http 6006 well-known line",
		}},
		"the owner has the port of a well-known one": {preopen: []int{8888}, want: []string{
			"terminal http 0 built-in", "8888 http 8888 preopen strip",
			"jupyterlab http 8889 well-known line", "code-server http 8180 well-known line strip", "tensorboard http 6006 well-known line",
		}},
		"an image of others": {
			labels: map[string]string{apps.LabelPorts: "jupyter:http:8091, vscode:http:8180,sshd:tcp:2200,ttyd:http:7681,mlflow:preopen:5000,x:pty:1,vnc:vnc:[5900,5901]"},
			want: []string{
				"terminal http 0 built-in", "jupyter http 8091 image line", "vscode http 8180 image line strip", "sshd tcp 2200 image", "ttyd http 7681 image strip",
				"mlflow http 5000 image strip", "vnc tcp 5900 image", "jupyterlab http 8889 well-known line", "tensorboard http 6006 well-known line",
			},
		},
		"our own": {
			labels: map[string]string{
				apps.LabelPorts:               "board:http:7000",
				apps.LabelLine + "board":      `exec board --base "$PALISADE_APP_BASE"`,
				apps.LabelLine + "other":      "exec other",
				apps.LabelLine + "zeppelin":   "exec zeppelin",
				apps.LabelLine + "jupyter":    "exec mine",
				apps.LabelLine + "bad/name":   "exec bad",
				apps.LabelLine + "nothing":    " ",
				"org.opencontainers.whatever": "x",
			},
			want: []string{
				"terminal http 0 built-in", "board http 7000 image line", "jupyter http 8888 image line", "other http 7801 image line strip", "zeppelin http 7802 image line strip",
				"jupyterlab http 8889 well-known line", "code-server http 8180 well-known line strip", "tensorboard http 6006 well-known line",
			},
			problems: 2,
		},
		"what cannot be": {
			labels: map[string]string{apps.LabelPorts: ",a,b:http,c:http:x,d:http:0,e:http:70000,f:gopher:70,../g:http:1,terminal:http:1,h:http:80,h:http:81,i:http:80,:::,[,],[1"},
			want: []string{
				"terminal http 0 built-in", "h http 80 image strip", "jupyter http 8888 well-known line", "jupyterlab http 8889 well-known line",
				"code-server http 8180 well-known line strip", "tensorboard http 6006 well-known line",
			},
			problems: 13,
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, problems := apps.Table(c.labels, c.preopen)
			var got []string
			for _, a := range table {
				text := fmt.Sprintf("%s %s %d %s", a.Name, a.Protocol, a.Port, a.Source)
				if a.Line != "" {
					text += " line"
				}
				if a.Strip {
					text += " strip"
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if len(problems) != c.problems {
				t.Errorf("%d problems: %s", len(problems), strings.Join(problems, "\n"))
			}
		})
	}
}

func TestFind(t *testing.T) {
	table, _ := apps.Table(map[string]string{apps.LabelPorts: "vscode:http:8180"}, nil)
	for asked, want := range map[string]string{"vscode": "vscode", "code-server": "vscode", "code": "vscode", "notebook": "jupyter", "lab": "jupyterlab", "terminal": "terminal", "nothing": ""} {
		if got, _ := apps.Find(table, asked); got.Name != want {
			t.Errorf("%s: %q, want %q", asked, got.Name, want)
		}
	}
}

// FuzzTable: whatever labels say, names and ports are given once, and are such.
func FuzzTable(f *testing.F) {
	f.Add("jupyter:http:8091,vscode:http:8180", "mine", "exec mine", 8000)
	f.Add("a:tcp:[1,2],b:preopen:3,,", "x", "", -1)
	f.Fuzz(func(t *testing.T, ports, name, line string, preopen int) {
		table, _ := apps.Table(map[string]string{apps.LabelPorts: ports, apps.LabelLine + name: line}, []int{preopen})
		for i, a := range table {
			again := slices.ContainsFunc(table[:i], func(b apps.App) bool { return a.Name == b.Name || a.Port == b.Port })
			if again || a.Name == "" || a.Source != apps.Preopen && (a.Port < 0 || a.Port > 65535) {
				t.Errorf("%+v of %q %q %q", a, ports, name, line)
			}
			if found, ok := apps.Find(table, a.Name); !ok || found != a {
				t.Errorf("%s is found as %+v", a.Name, found)
			}
		}
	})
}
