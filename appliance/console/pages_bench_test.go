package console

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/accounts"
)

// Of a box with much on it.
const (
	manyServices = 1000
	manySessions = 10_000
	manyHours    = 5000 // of two hundred rows each: 208 days
)

// newLargeConsole is a console of many services and sessions.
func newLargeConsole(b *testing.B) *bench {
	b.Helper()
	c := newConsole(b)
	ctx, client := admin.LocalPeer(b.Context(), "root"), c.api()
	for i := range manyServices {
		in := api.ServiceCreate{Name: fmt.Sprint("service-", i)}
		in.Image = "quay.io/example/engine:1"
		if _, err := client.CreateService(ctx, in); err != nil {
			b.Fatal(err)
		}
	}
	for range manySessions / 1000 {
		if _, err := client.CreateSession(ctx, api.SessionCreate{Image: "host", StartupCommand: "true", Array: "1-1000"}); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// used fills SQLite with a million rows of usage, which the console shows from then on.
func (b *bench) used(t *testing.B) {
	kept, err := store.Open(t.Context(), store.Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "palisade.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	end := time.Now().UTC().Truncate(time.Hour)
	var rows []usage.Row
	for h := range manyHours {
		for k := range 200 {
			rows = append(rows, usage.Row{
				Hour:  end.Add(-time.Duration(h) * time.Hour),
				Key:   usage.Key{Token: fmt.Sprint("tok-", k/2), Project: "default", ServiceID: fmt.Sprint("svc-", k), Service: fmt.Sprint("service-", k), Model: fmt.Sprint("m", k)},
				Class: usage.Class2xx, Sums: usage.Sums{Requests: 5, Prompt: 100, Completion: 50},
			})
		}
		if h%50 == 49 {
			if err := kept.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: int64(h), At: end, Rows: rows}); err != nil {
				t.Fatal(err)
			}
			rows = rows[:0]
		}
	}
	held := make([]accounts.Row, 0, manyHours)
	for i := range manySessions { // each for a hundred hours: a million rows, too
		for h := range 100 {
			at := end.Add(-time.Duration(i%manyHours+h) * time.Hour)
			held = append(held, accounts.Row{
				Hour: at, Session: fmt.Sprintf("ses-%07d", i), Name: fmt.Sprint("job-", i), User: fmt.Sprint("user-", i%50), Project: "default", Type: "batch",
				Sums: accounts.Sums{Held: 3_600_000_000, Cores: 7_200_000_000, Memory: 3_600_000 * 512, CPU: 1_000_000_000}, Until: at.Add(time.Hour), Run: at,
			})
		}
		if i%500 == 499 {
			if err := kept.SaveSessionUsage(t.Context(), held); err != nil {
				t.Fatal(err)
			}
			held = held[:0]
		}
	}
	b.Rebuild(func(d *admin.Deps) {
		d.Usage, d.Accounts = usage.NewMeter(kept, time.Now, slog.New(slog.DiscardHandler)), keptAccounts{kept}
	})
}

// keptAccounts report what is kept, of sessions that have ended.
type keptAccounts struct{ of *store.Store }

func (k keptAccounts) Report(ctx context.Context, q accounts.Query) (accounts.Report, error) {
	rows, err := k.of.SessionUsage(ctx, q)
	out := accounts.Fold(rows, &q)
	out.From, out.To = q.From, q.To
	return out, err
}

// BenchmarkPages is how long the server takes for each page of a large box: the middle, all but the slowest twentieth, and
// the processor's time, which neighbours on the machine disturb less. Those of usage come last, and have a million rows.
func BenchmarkPages(b *testing.B) {
	c := newLargeConsole(b)
	for _, path := range []string{
		"/", "/services", "/services?page=20", "/services?search=service-7", "/services/new", "/services/service-7", "/services/service-7/connect",
		"/services/service-7/logs", "/services/service-7/autoscaling", "/services/service-7/revisions", "/services/service-7/events", "/services/service-7/settings",
		"/sessions", "/sessions?state=all", "/sessions?state=all&page=100", "/sessions/new", "/pipelines", "/pipelines/new", "/folders", "/folders/trash",
		"/catalog", "/catalogs", "/models", "/installs", "/playground", "/images", "/tokens", "/audit", "/accelerators", "/projects", "/projects/default",
		"/users", "/profile", "/settings", "/updates", "/backups", "/about",
	} {
		b.Run(pageName(path), func(b *testing.B) { c.benchPage(b, path) })
	}
	filled := false
	for _, path := range []string{
		"/usage", "/usage?from=7d&by=token", "/usage?from=90d&by=user", "/usage?from=365d&zone=Asia%2FSeoul", "/usage/sessions", "/usage/sessions?from=7d&by=session", "/usage/sessions?from=90d&by=type", "/usage/sessions?from=365d&zone=Asia%2FSeoul",
	} {
		b.Run(pageName(path), func(of *testing.B) {
			if !filled {
				filled = true
				c.used(b) // for all of them
			}
			c.benchPage(of, path)
		})
	}
}

// pageName is a path as the name of a benchmark, which has no slashes.
func pageName(path string) string {
	return cmp.Or(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "_"), "home")
}

func (b *bench) benchPage(t *testing.B, path string) {
	var took []time.Duration
	cpu := processor(t)
	t.ReportAllocs()
	for t.Loop() {
		begun := time.Now()
		if w := b.serve(b.request(http.MethodGet, path, nil)); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		took = append(took, time.Since(begun))
	}
	t.ReportMetric(float64((processor(t)-cpu).Microseconds())/1000/float64(len(took)), "ms-cpu")
	slices.Sort(took)
	t.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	t.ReportMetric(float64(took[(len(took)-1)*95/100].Microseconds())/1000, "ms-p95")
	t.ReportMetric(0, "ns/op")
}

// processor is the CPU time of this process.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpenConsoles is what consoles cost that are open on the first page of a large box: where nothing changes, and where
// a service is scaled ten times a second; all of one person, and each of another.
func BenchmarkOpenConsoles(b *testing.B) {
	const consoles = 200
	for _, one := range []struct {
		name   string
		people int
		scales bool
	}{{"one_person", 4, false}, {"as_many_people", consoles, false}, {"as_many_people_while_one_scales", consoles, true}} {
		b.Run(one.name, func(b *testing.B) { openConsoles(b, consoles, one.people, one.scales) })
	}
}

func openConsoles(b *testing.B, consoles, people int, scales bool) {
	c := newLargeConsole(b)
	ctx, stop := context.WithCancel(b.Context())
	var open sync.WaitGroup
	defer open.Wait()
	defer stop()
	open.Go(func() { c.console.Run(ctx) })
	for i := range consoles {
		r := c.request(http.MethodGet, "/live/", nil)
		r = r.WithContext(admin.LocalPeer(ctx, fmt.Sprint("person-", i%people)))
		open.Go(func() { c.serve(r) })
	}
	if scales {
		open.Go(func() {
			for i := range 10_000 {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					return
				}
				if _, err := c.Manager.ScaleService(ctx, "default", "service-1", sessions.Scale{To: 1 + i%2, By: "root"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	const watched = 20 * time.Second
	for b.Loop() {
		before, begun := processor(b), time.Now()
		select {
		case <-time.After(watched):
		case <-ctx.Done():
		}
		b.ReportMetric(100*(processor(b)-before).Seconds()/time.Since(begun).Seconds(), "%-of-a-core")
	}
	b.ReportMetric(0, "ns/op")
}
