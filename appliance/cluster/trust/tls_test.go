package trust_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

func TestWhoComesThroughTheDoor(t *testing.T) {
	c, other := found(t), found(t)
	second, foreign := c.joined("second"), other.joined("second")
	waiting := c.box("third")
	if err := waiting.Believe(bundle(t, c)); err != nil {
		t.Fatal(err)
	}
	stranger := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	old := stranger.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	shows := func(n *trust.Node) *tls.Config { // believes everybody, and shows what n has
		out := stranger.Clone()
		out.GetClientCertificate = n.DoorClient("first").GetClientCertificate
		return out
	}
	for name, tc := range map[string]struct {
		client   *tls.Config
		server   *trust.Node
		peer     string
		refused  bool // at the server
		atClient error
	}{
		"a node":                              {client: second.DoorClient("first"), peer: "second"},
		"a node that meant another one":       {client: second.DoorClient("third"), refused: true, atClient: trust.ErrAuthority},
		"itself":                              {client: c.first.DoorClient("first"), peer: "first"},
		"somebody without a certificate":      {client: stranger},
		"somebody who waits":                  {client: waiting.DoorClient("first")},
		"another cluster's node":              {client: shows(foreign), refused: true, atClient: errAny},
		"another cluster's node that looks":   {client: foreign.DoorClient("first"), refused: true, atClient: trust.ErrAuthority},
		"a node at another cluster's door":    {client: second.DoorClient("second"), server: foreign, refused: true, atClient: trust.ErrAuthority},
		"somebody with an older TLS":          {client: old, refused: true, atClient: errAny},
		"a door that is not in a cluster yet": {client: second.DoorClient("third"), server: waiting, refused: true, atClient: errAny},
	} {
		t.Run(name, func(t *testing.T) {
			server := c.first
			if tc.server != nil {
				server = tc.server
			}
			state, atServer, atClient := meet(t, server.DoorServer(), tc.client)
			if (atServer != nil) != tc.refused {
				t.Fatalf("at the server: %v; at the client: %v", atServer, atClient)
			}
			if (atClient != nil) != (tc.atClient != nil) || !errors.Is(tc.atClient, errAny) && !errors.Is(atClient, tc.atClient) {
				t.Errorf("at the client: %v", atClient)
			}
			if tc.refused {
				return
			}
			if peer, err := server.Peer(&state); err != nil || peer != tc.peer {
				t.Errorf("%q, %v", peer, err)
			}
		})
	}
}

var errAny = errors.New("any")

func bundle(t *testing.T, c *cluster) (trust.Bundle, []trust.Denied) {
	t.Helper()
	b, denied, err := c.desk.Beliefs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b, denied
}

func TestPinned(t *testing.T) {
	c, other := found(t), found(t)
	token := c.token(trust.Asked{Uses: 1, For: time.Hour})
	if _, _, err := meet(t, c.joined("second").DoorServer(), trust.Pinned(token, c.clock.now)); err != nil {
		t.Error(err)
	}
	_, _, err := meet(t, other.first.DoorServer(), trust.Pinned(token, c.clock.now))
	is(t, err, trust.ErrAuthority, true)

	// One that shows the right authority beside a certificate of its own.
	forged := other.first.DoorServer()
	config, err := forged.GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := bundle(t, c)
	config.Certificates[0].Certificate = append(config.Certificates[0].Certificate, b.Roots...)
	_, _, err = meet(t, config, trust.Pinned(token, c.clock.now))
	is(t, err, trust.ErrAuthority, false)
}

func TestClocks(t *testing.T) {
	for name, tc := range map[string]struct {
		off time.Duration
		ok  bool
	}{
		"five minutes behind": {-5 * time.Minute, true},
		"five minutes ahead":  {5 * time.Minute, true},
		"two hours behind":    {-2 * time.Hour, false},
		"a year ahead":        {366 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := found(t)
			wrong := &clock{start.Add(tc.off)}
			token := c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour})
			box, err := trust.Create(t.TempDir(), "second", wrong.now)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = meet(t, c.first.DoorServer(), trust.Pinned(token, wrong.now))
			if tc.ok != (err == nil) {
				t.Fatal(err)
			}
			if !tc.ok {
				is(t, err, trust.ErrAuthority, true)
			}
			a, err := c.ask(box, token)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := box.Take(a, token); tc.ok != (err == nil) {
				t.Fatal(err)
			}
			if !tc.ok {
				return
			}
			_, atServer, atClient := meet(t, c.first.DoorServer(), box.DoorClient("first"))
			if err := errors.Join(atServer, atClient); err != nil {
				t.Error(err)
			}
			_, atServer, atClient = meet(t, box.DoorServer(), c.first.DoorClient("second"))
			if err := errors.Join(atServer, atClient); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARemovedNodeIsRefused(t *testing.T) {
	c := found(t)
	second, third := c.joined("second"), c.joined("third")
	door, to := c.first.DoorServer(), third.DoorClient("second") // made before
	open, atServer, atClient := meet(t, door, second.DoorClient("first"))
	if err := errors.Join(atServer, atClient); err != nil {
		t.Fatal(err)
	}
	if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
		t.Fatal(err)
	}
	c.believe(c.first, third)
	if _, atServer, _ = meet(t, door, second.DoorClient("first")); !errors.Is(atServer, trust.ErrRemoved) {
		t.Errorf("let in: %v", atServer)
	}
	_, _, atClient = meet(t, second.DoorServer(), to)
	is(t, atClient, trust.ErrRemoved, false)
	peer, err := c.first.Peer(&open)
	is(t, err, trust.ErrRemoved, false)
	if peer != "" {
		t.Errorf("still %q on a connection that was open", peer)
	}
	// What etcd reads says so as well, and a restart has not forgotten.
	raw, err := os.ReadFile(c.first.Etcd().Removed)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(raw)
	if err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(open.PeerCertificates[0].SerialNumber) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	// A year later its certificates have ended, and it is forgotten.
	c.clock.at = start.Add(365 * 24 * time.Hour)
	if err := c.desk.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, err := c.shelf.List(t.Context(), "denied/"); err != nil || len(entries) != 0 {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestARenewedCertificateIsShownAtOnce(t *testing.T) {
	c := found(t)
	second := c.joined("second")
	door, client := c.first.DoorServer(), second.DoorClient("first")
	before, _, _ := meet(t, door, client)
	from, until, _ := second.Certified()
	if d := until.Sub(from); d != 90*24*time.Hour+time.Hour || !second.RenewAt().Equal(until.Add(-d/3)) {
		t.Errorf("%v, renewed at %v", d, second.RenewAt())
	}
	c.clock.at = second.RenewAt()
	csr, err := second.Renewal()
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.desk.Renew(t.Context(), "second", csr)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.TakeRenewal(a); err != nil {
		t.Fatal(err)
	}
	after, atServer, atClient := meet(t, door, client)
	if err := errors.Join(atServer, atClient); err != nil {
		t.Fatal(err)
	}
	if before.PeerCertificates[0].SerialNumber.Cmp(after.PeerCertificates[0].SerialNumber) == 0 {
		t.Error("the old certificate is shown")
	}
	// Both are refused when the node is removed.
	if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
		t.Fatal(err)
	}
	if _, denied := bundle(t, c); len(denied) != 1 || len(denied[0].Serials) != 2 {
		t.Errorf("%+v", denied)
	}
}

func TestANodeThatWasAwayTooLongAsksAgain(t *testing.T) {
	c := found(t)
	second := c.joined("second")
	csr, err := c.first.Renewal()
	if err != nil {
		t.Fatal(err)
	}
	c.clock.at = start.Add(100 * 24 * time.Hour)
	a, err := c.desk.Renew(t.Context(), "first", csr) // an approved node can do that by itself
	if err != nil {
		t.Fatal(err)
	}
	if err := c.first.TakeRenewal(a); err != nil {
		t.Fatal(err)
	}
	if _, atServer, _ := meet(t, c.first.DoorServer(), second.DoorClient("first")); atServer == nil {
		t.Fatal("a certificate that has ended is let in")
	}
	again, err := c.ask(second, trust.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.TakeRenewal(again); err != nil {
		t.Fatal(err)
	}
	_, atServer, atClient := meet(t, c.first.DoorServer(), second.DoorClient("first"))
	if err := errors.Join(atServer, atClient); err != nil {
		t.Error(err)
	}
}

// TestTheDoorServesHTTP goes the way that the daemon goes, over HTTP/2.
func TestTheDoorServesHTTP(t *testing.T) {
	c := found(t)
	second := c.joined("second")
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := c.first.Peer(r.TLS)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set("Peer", peer)
	})}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.first.DoorServer())
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: second.DoorClient("first"), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	get := func() *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+l.Addr().String()+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	if answer := get(); answer.Header.Get("Peer") != "second" || answer.ProtoMajor != 2 {
		t.Errorf("%v", answer)
	}
	if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
		t.Fatal(err)
	}
	c.believe(c.first)
	if answer := get(); answer.StatusCode != http.StatusForbidden { // on the same connection
		t.Errorf("%v", answer)
	}
}
