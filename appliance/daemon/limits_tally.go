package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/router/quota/tally"
)

// openTally has limits counted in Redis, where the settings name one. It waits for nobody: a Redis that cannot be had is no
// reason to serve nothing.
func (d *daemon) openTally() error {
	c := d.Config.Redis
	if c.URL == "" {
		return nil
	}
	o, err := tallyOptions(c)
	if err != nil {
		return err
	}
	o.Box, o.Registry, o.Log = d.Config.Node.Name, d.registry, d.Log.With("room", "limits")
	if d.seat != nil {
		o.Box = d.seat.name()
		if o.Boxes == 0 {
			o.Boxes = len(d.seat.roster.Nodes())
		}
	}
	if o.Box == "" {
		name, _ := os.Hostname() // each process adds something of its own
		o.Box = cmp.Or(name, "box")
	}
	counter, err := tally.Open(o)
	if err != nil {
		return fmt.Errorf("redis.url: %w", err)
	}
	d.tally = counter
	d.tokens.Share(counter)
	return nil
}

// tallyOptions are the way to Redis, as the settings have it.
func tallyOptions(c config.Redis) (tally.Options, error) {
	o := tally.Options{URL: c.URL, Prefix: c.Prefix, Boxes: c.Boxes, Bound: c.Bound}
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return o, fmt.Errorf("redis.password_file: %w", err)
		}
		o.Password = strings.TrimSpace(string(text))
	}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return o, fmt.Errorf("redis.ca: %w", err)
		}
		o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return o, fmt.Errorf("redis.ca: %s has no certificate in PEM", c.CA)
		}
	}
	return o, nil
}

// closeTally gives up what is not counted with yet.
func (d *daemon) closeTally() error {
	if d.tally == nil {
		return nil
	}
	return d.tally.Close()
}

// tallyPatience is how long the first requests wait for Redis: its first answer takes some connections more than others do.
const tallyPatience = 250 * time.Millisecond

// countTogether has limits counted together until all requests have ended. It waits a moment for that to begin: the first
// requests would be let in by shares else.
func (d *daemon) countTogether(ctx context.Context) {
	if d.tally == nil {
		return
	}
	d.counting.run(d.tally.Run)
	bounded, cancel := context.WithTimeout(ctx, tallyPatience)
	defer cancel()
	_ = d.tally.Ready(bounded) // the counter says what is in the way
}

func (d *daemon) checkTally() []api.Check {
	if d.tally == nil {
		return nil
	}
	st := d.tally.Status()
	check := api.Check{Name: "limits", Status: api.CheckOK, Detail: fmt.Sprintf("counted together in Redis by %s", processes(st.Boxes))}
	if st.Mode != tally.Together {
		check.Status = api.CheckWarning
		check.Detail = fmt.Sprintf("counted by this box alone since %s, with its share of one in %d: %s", st.Since.UTC().Format(time.RFC3339), st.Boxes, st.Cause)
		check.Hint = "look whether the Redis of redis.url is up and quick; what is counted meanwhile is added when it is back"
	}
	return []api.Check{check}
}

func processes(n int) string {
	if n == 1 {
		return "this process"
	}
	return fmt.Sprintf("%d processes", n)
}
