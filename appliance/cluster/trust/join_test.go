package trust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
)

var emptyShelf = &trusttest.Memory{}

func TestMemoryIsAShelf(t *testing.T) { trusttest.Shelf(t, &trusttest.Memory{}) }

func TestABoxWaitsUntilItIsApproved(t *testing.T) {
	c := found(t)
	ctx := t.Context()
	token := c.token(trust.Asked{Uses: 1, For: time.Hour, By: "ann"})
	dir := t.TempDir()
	box, err := trust.Create(dir, "second", c.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Remember(trust.Pending{URL: "https://first:8443", Token: token}); err != nil {
		t.Fatal(err)
	}
	a, err := c.ask(box, token)
	if err != nil || a.State != trust.Waiting || a.Certificate != nil || a.SealedKey != nil || len(a.Bundle.Roots) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if s, err := box.Take(a, token); err != nil || s != trust.Waiting {
		t.Fatal(s, err)
	}

	// Both restart; the token ends meanwhile.
	c.clock.at = start.Add(48 * time.Hour)
	if box, err = trust.Open(dir, c.clock.now); err != nil {
		t.Fatal(err)
	}
	key, err := c.first.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	c.desk = trust.NewDesk(c.shelf, key, c.clock.now)
	if err := c.desk.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	pending, ok, err := box.Pending()
	if err != nil || !ok || pending.URL != "https://first:8443" || pending.Token.Reveal() != token.Reveal() {
		t.Fatalf("%+v, %v, %v", pending, ok, err)
	}
	if a, err = c.ask(box, pending.Token); err != nil || a.State != trust.Waiting {
		t.Fatalf("%+v, %v", a, err)
	}
	for range 2 {
		if err := c.desk.Approve(ctx, "second", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	a, err = c.ask(box, pending.Token)
	if err != nil || a.State != trust.In {
		t.Fatalf("%+v, %v", a, err)
	}
	again, err := c.ask(box, pending.Token) // the first answer was lost on its way
	if err != nil || !bytes.Equal(again.Certificate, a.Certificate) || !bytes.Equal(again.SealedKey, a.SealedKey) {
		t.Errorf("another answer: %v", err)
	}
	for _, answer := range []trust.Answer{a, again} {
		if s, err := box.Take(answer, pending.Token); err != nil || s != trust.In {
			t.Fatal(s, err)
		}
	}
	if _, ok, err := box.Pending(); ok || err != nil {
		t.Error("the token is still there", err)
	}
	if _, err := box.ClusterKey(); err != nil {
		t.Error(err)
	}
	records, err := c.desk.Records(ctx)
	if err != nil || len(records) != 2 || records[1].State != trust.In || records[1].By != "ann" || records[1].Version != "1.0.0" || records[1].From != "10.0.0.7" {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestAJoinBrokenOffGoesOn breaks off a join at each of its writes, at the desk and in the box.
func TestAJoinBrokenOffGoesOn(t *testing.T) {
	c := found(t)
	token := c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour})
	dir := filepath.Join(t.TempDir(), "cluster")
	cut := errors.New("the power is gone")
	c.shelf.Before = func([]trust.Write) error { return cut }
	box, err := trust.Create(dir, "second", c.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(box, token); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	c.shelf.Before = nil
	if _, err := c.ask(box, token); err != nil { // its answer is lost
		t.Fatal(err)
	}
	if box, err = trust.Create(dir, "second", c.clock.now); err != nil {
		t.Fatal(err)
	}
	a, err := c.ask(box, token)
	if err != nil {
		t.Fatal(err)
	}
	for _, blocked := range []string{"cluster.key", "ca.pem", "removed.json", "removed.crl", "node.pem"} {
		file := filepath.Join(dir, blocked)
		kept, err := os.ReadFile(file)
		was := err == nil
		if err := errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Join(file, "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
		if _, err := box.Take(a, token); err == nil {
			t.Errorf("taken over without %s", blocked)
		}
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if was {
			if err := os.WriteFile(file, kept, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if box, err = trust.Open(dir, c.clock.now); err != nil {
			t.Fatalf("after %s: %v", blocked, err)
		}
		if _, _, in := box.Certified(); in {
			t.Errorf("in, without %s", blocked)
		}
	}
	if s, err := box.Take(a, token); err != nil || s != trust.In {
		t.Fatal(s, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".trust-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	if tokens, err := c.desk.Tokens(t.Context()); err != nil || len(tokens) != 0 {
		t.Errorf("one use gave one: %+v, %v", tokens, err)
	}
}

func TestRefusals(t *testing.T) {
	ask := func(name string, approve bool) func(*testing.T, *cluster) error {
		return func(t *testing.T, c *cluster) error {
			_, err := c.ask(c.box(name), c.token(trust.Asked{Approve: approve, Uses: 1, For: time.Hour}))
			return err
		}
	}
	mended := func(change func(r *trust.Request)) func(*testing.T, *cluster) error {
		return func(t *testing.T, c *cluster) error {
			r, err := c.box("second").Request(c.token(trust.Asked{Uses: 1, For: time.Hour}), "", "")
			if err != nil {
				t.Fatal(err)
			}
			change(&r)
			_, err = c.desk.Join(t.Context(), "10.0.0.9", r)
			return err
		}
	}
	cases := []struct {
		name string
		do   func(t *testing.T, c *cluster) error
		kind error
		hint bool
	}{
		{"unknown token", mended(func(r *trust.Request) { r.TokenID = "aaaaaaaa" }), trust.ErrToken, true},
		{"no token", mended(func(r *trust.Request) { r.TokenID, r.Secret = "", "" }), trust.ErrToken, true},
		{"a way out of the shelf", mended(func(r *trust.Request) { r.TokenID = "../ca" }), trust.ErrToken, true},
		{"wrong secret", mended(func(r *trust.Request) { r.Secret = strings.Repeat("a", 32) }), trust.ErrToken, true},
		{"empty secret", mended(func(r *trust.Request) { r.Secret = "" }), trust.ErrToken, true},
		{"no CSR", mended(func(r *trust.Request) { r.CSR = nil }), trust.ErrInvalid, false},
		{"a CSR that was changed", mended(func(r *trust.Request) { r.CSR[len(r.CSR)-1] ^= 1 }), trust.ErrInvalid, false},
		{"a name in another's place", mended(func(r *trust.Request) { r.CSR = bytes.Replace(r.CSR, []byte("second"), []byte("fecond"), 1) }), trust.ErrInvalid, false},
		{"the first node's name", ask("first", true), trust.ErrTaken, true},
		{"a token that was used", func(_ *testing.T, c *cluster) error {
			token := c.token(trust.Asked{Uses: 1, For: time.Hour})
			_, err := c.ask(c.box("second"), token)
			_, again := c.ask(c.box("third"), token)
			return errors.Join(err, again)
		}, trust.ErrSpent, true},
		{"a token that has expired", func(_ *testing.T, c *cluster) error {
			token := c.token(trust.Asked{Uses: 1, For: time.Hour})
			c.clock.at = c.clock.at.Add(time.Hour)
			_, err := c.ask(c.box("second"), token)
			return err
		}, trust.ErrSpent, true},
		{"a token that was revoked", func(t *testing.T, c *cluster) error {
			token := c.token(trust.Asked{Uses: 1, For: time.Hour})
			if err := c.desk.RevokeToken(t.Context(), token.ID); err != nil {
				t.Fatal(err)
			}
			_, err := c.ask(c.box("second"), token)
			return err
		}, trust.ErrToken, true},
		{"a name that somebody waits for", func(_ *testing.T, c *cluster) error {
			token := c.token(trust.Asked{Uses: 2, For: time.Hour})
			_, err := c.ask(c.box("second"), token)
			_, again := c.ask(c.box("second"), token)
			return errors.Join(err, again)
		}, trust.ErrTaken, true},
		{"who was refused", func(t *testing.T, c *cluster) error {
			token, box := c.token(trust.Asked{Uses: 2, For: time.Hour}), c.box("second")
			if _, err := c.ask(box, token); err != nil {
				t.Fatal(err)
			}
			if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
				t.Fatal(err)
			}
			_, err := c.ask(box, token)
			return err
		}, trust.ErrRefused, true},
		{"who was removed", func(t *testing.T, c *cluster) error {
			box := c.joined("second")
			if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
				t.Fatal(err)
			}
			_, err := c.ask(box, c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour}))
			return err
		}, trust.ErrRemoved, true},
		{"approving of nobody", func(t *testing.T, c *cluster) error { return c.desk.Approve(t.Context(), "third", "ann") }, trust.ErrNotFound, true},
		{"removing nobody", func(t *testing.T, c *cluster) error { return c.desk.Remove(t.Context(), "third", "ann") }, trust.ErrNotFound, true},
		{"removing no name", func(t *testing.T, c *cluster) error { return c.desk.Remove(t.Context(), "../ca", "ann") }, trust.ErrInvalid, true},
		{"revoking nothing", func(t *testing.T, c *cluster) error { return c.desk.RevokeToken(t.Context(), "aaaaaaaa") }, trust.ErrNotFound, false},
		{"renewing for another", func(t *testing.T, c *cluster) error {
			csr, err := c.joined("second").Renewal()
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.desk.Renew(t.Context(), "first", csr)
			return err
		}, trust.ErrInvalid, false},
		{"renewing with another key", func(t *testing.T, c *cluster) error {
			c.joined("second")
			csr, err := c.box("second").Renewal()
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.desk.Renew(t.Context(), "second", csr)
			return err
		}, trust.ErrInvalid, false},
		{"a token for nobody", func(t *testing.T, c *cluster) error {
			_, err := c.desk.NewToken(t.Context(), trust.Asked{For: time.Hour})
			return err
		}, trust.ErrInvalid, true},
		{"a token for ever", func(t *testing.T, c *cluster) error {
			_, err := c.desk.NewToken(t.Context(), trust.Asked{Uses: 1, For: 31 * 24 * time.Hour})
			return err
		}, trust.ErrInvalid, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // they wait for the disk
			err := tc.do(t, found(t))
			is(t, err, tc.kind, tc.hint)
			// What goes over the wire is of the same kind at the other end.
			r, ok := trust.Refuse(err)
			if !ok || !errors.Is(r.Err(), tc.kind) {
				t.Errorf("%+v: %v", r, r.Err())
			}
		})
	}
}

func TestARefusedBoxMayAskAgainWithAnotherToken(t *testing.T) {
	c := found(t)
	box, token := c.box("second"), c.token(trust.Asked{Uses: 1, For: time.Hour})
	if _, err := c.ask(box, token); err != nil {
		t.Fatal(err)
	}
	if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.ask(box, c.token(trust.Asked{Uses: 1, For: time.Hour})); err != nil || a.State != trust.Waiting {
		t.Errorf("%+v, %v", a, err)
	}
	// Refused twice, it is forgotten, and the name is another's.
	for range 2 {
		if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	c.joined("second")
}

func TestARemovedBoxJoinsAnew(t *testing.T) {
	c := found(t)
	dir := t.TempDir()
	for range 2 {
		box, err := trust.Create(dir, "second", c.clock.now)
		if err != nil {
			t.Fatal(err)
		}
		token := c.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour})
		a, err := c.ask(box, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := box.Take(a, token); err != nil {
			t.Fatal(err)
		}
		if err := c.desk.Remove(t.Context(), "second", "ann"); err != nil {
			t.Fatal(err)
		}
		if err := trust.Leave(dir); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
	}
}

// A key has one name: under another one it is not let in, and with the one it goes whole.
func TestAKeyHasOneName(t *testing.T) {
	c := found(t)
	ctx := t.Context()
	dir := t.TempDir()
	box, err := trust.Create(dir, "second", c.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	token := c.token(trust.Asked{Uses: 9, For: time.Hour})
	if _, err := c.ask(box, token); err != nil {
		t.Fatal(err)
	}
	// The same key, with another name in its file.
	file := filepath.Join(dir, "node.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("Node: second"), []byte("Node: third"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	third, err := trust.Open(dir, c.clock.now)
	if err != nil || third.Name() != "third" {
		t.Fatal(third, err)
	}
	_, err = c.ask(third, token)
	is(t, err, trust.ErrTaken, true)
	if err := c.desk.Approve(ctx, "second", "ann"); err != nil {
		t.Fatal(err)
	}
	if err := c.desk.Remove(ctx, "second", "ann"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*trust.Node{box, third} {
		_, err = c.ask(n, token)
		is(t, err, trust.ErrRemoved, true)
	}
	// One that waits until its name is another's gives its key's name back.
	for _, name := range []string{"fourth", "fifth"} {
		if _, err := c.ask(c.box(name), token); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.desk.Remove(ctx, name, "ann"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys, err := c.shelf.List(ctx, "keys/"); err != nil || len(keys) != 1 { // the first box's
		t.Errorf("%+v, %v", keys, err)
	}
}

// Records from before keys had one name each are removed whole, one after the other.
func TestOneKeyUnderTwoNamesIsRemoved(t *testing.T) {
	c := found(t)
	ctx := t.Context()
	c.joined("second")
	waits := c.box("waits")
	if _, err := c.ask(waits, c.token(trust.Asked{Uses: 1, For: time.Hour})); err != nil {
		t.Fatal(err)
	}
	again := func(name, key string, issued ...string) {
		t.Helper()
		e, err := c.shelf.Get(ctx, "requests/"+name)
		var r trust.Record
		if err == nil && e.Revision != 0 {
			err = json.Unmarshal(e.Value, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Name, r.Key = name, key
		if r.State == "" {
			r.State = trust.In
		}
		for _, s := range issued {
			r.Issued = append(r.Issued, trust.Issued{Serial: s, Until: c.clock.now().Add(time.Hour)})
		}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := c.shelf.Commit(ctx, []trust.Write{{Key: "requests/" + name, Value: raw, Revision: e.Revision}}); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	records, err := c.desk.Records(ctx)
	if err != nil || len(records) != 3 {
		t.Fatal(records, err)
	}
	key := records[1].Key
	again("third", key, "abc")
	for _, name := range []string{"second", "third"} {
		if err := c.desk.Remove(ctx, name, "ann"); err != nil {
			t.Fatal(err)
		}
	}
	_, denied, err := c.desk.Beliefs(ctx)
	if err != nil || len(denied) != 1 || len(denied[0].Serials) != 2 || denied[0].Serials[1] != "abc" {
		t.Errorf("%+v, %v", denied, err)
	}
	// A key that was removed while it waited under another name is not let in.
	e, err := c.shelf.Get(ctx, "denied/"+key)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := c.shelf.Commit(ctx, []trust.Write{{Key: "denied/" + records[2].Key, Value: e.Value}}); err != nil || !ok {
		t.Fatal(ok, err)
	}
	is(t, c.desk.Approve(ctx, "waits", "ann"), trust.ErrRemoved, true)
}

func TestWrongTokensAreSlowed(t *testing.T) {
	c := found(t)
	box := c.box("second")
	good := c.token(trust.Asked{Uses: 1, For: time.Hour})
	wrong, err := trust.ParseToken(strings.Join([]string{"pal-join", good.ID, strings.Repeat("a", 32), strings.Split(good.Reveal(), ".")[3]}, "."))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := c.ask(box, wrong)
		is(t, err, trust.ErrToken, true)
	}
	_, err = c.ask(box, good)
	is(t, err, trust.ErrSlow, true)
	e, ok := errors.AsType[*trust.Error](err)
	if !ok || e.RetryAfter() != time.Second {
		t.Errorf("%+v", e)
	}
	if r, ok := trust.Refuse(err); !ok || r.RetryAfter != 1 {
		t.Errorf("%+v", r)
	}
	for range 20 {
		c.clock.at = c.clock.at.Add(time.Minute)
		_, err := c.ask(box, wrong)
		is(t, err, trust.ErrToken, true)
	}
	_, err = c.ask(box, good)
	is(t, err, trust.ErrSlow, true)
	r, err := box.Request(good, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.desk.Join(t.Context(), "10.0.0.8", r); err != nil { // another address has done nothing
		t.Error(err)
	}
	if _, err := c.ask(box, wrong); err != nil { // and who is known needs no token
		t.Error(err)
	}
}

func TestATokenShowsItsSecretOnce(t *testing.T) {
	c := found(t)
	token := c.token(trust.Asked{Uses: 1, For: time.Hour})
	text := token.Reveal()
	again, err := trust.ParseToken("  " + text + "\n")
	if err != nil || again != token {
		t.Fatal(err)
	}
	secret := strings.Split(text, ".")[2]
	raw, err := json.Marshal(map[string]any{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.first.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := c.shelf.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw = append(raw, e.Value...)
	}
	if shown := token.String() + string(raw); strings.Contains(shown, secret) || strings.Contains(shown, "AGE-SECRET") || strings.Contains(shown, "PRIVATE") {
		t.Error("a secret shows itself")
	}
	if key.String() != "(secret)" {
		t.Error("the cluster key shows itself")
	}
}

func TestWhatIsTakenOverHangsOnTheToken(t *testing.T) {
	c, other := found(t), found(t)
	token := c.token(trust.Asked{Approve: true, Uses: 9, For: time.Hour})
	box := c.box("second")
	good, err := c.ask(box, token)
	if err != nil {
		t.Fatal(err)
	}
	third, err := c.ask(c.box("third"), token)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.ask(box, other.token(trust.Asked{Approve: true, Uses: 1, For: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	mixed := func(change func(a *trust.Answer)) trust.Answer {
		a := good
		change(&a)
		return a
	}
	for name, tc := range map[string]struct {
		answer trust.Answer
		kind   error
	}{
		"another cluster's":           {foreign, trust.ErrAuthority},
		"no authority":                {mixed(func(a *trust.Answer) { a.Bundle = trust.Bundle{} }), trust.ErrAuthority},
		"another box's certificate":   {mixed(func(a *trust.Answer) { a.Certificate = third.Certificate }), trust.ErrInvalid},
		"another cluster's signature": {mixed(func(a *trust.Answer) { a.Certificate = foreign.Certificate }), trust.ErrAuthority},
		"a key sealed to another":     {mixed(func(a *trust.Answer) { a.SealedKey = third.SealedKey }), trust.ErrInvalid},
		"no key":                      {mixed(func(a *trust.Answer) { a.SealedKey = nil }), trust.ErrInvalid},
		"no certificate":              {mixed(func(a *trust.Answer) { a.Certificate = nil }), trust.ErrInvalid},
		"a bundle with rubbish": {mixed(func(a *trust.Answer) {
			a.Bundle.Roots = append(a.Bundle.Roots[:1:1], []byte("x"))
		}), trust.ErrInvalid},
		"a bundle with a node in it": {mixed(func(a *trust.Answer) {
			a.Bundle.Roots = append(a.Bundle.Roots[:1:1], third.Certificate)
		}), trust.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := box.Take(tc.answer, token)
			is(t, err, tc.kind, false)
			if _, _, in := box.Certified(); in || s != "" {
				t.Error("it was taken over")
			}
		})
	}
	if s, err := box.Take(good, token); err != nil || s != trust.In {
		t.Error(s, err)
	}
}
