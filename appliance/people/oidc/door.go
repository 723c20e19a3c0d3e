package oidc

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/palisade-run/palisade/appliance/people"
)

// Bounds of what is asked of a provider.
const (
	askFor    = 10 * time.Second // of one request
	discovery = time.Hour        // for so long what a provider says of itself is believed
	skew      = 2 * time.Minute  // by which clocks may differ
	// mostWaiting is how many log-ins wait for what a provider says of itself: anybody may begin one.
	mostWaiting = 16
)

// Around is what a Door works with.
type Around struct {
	Providers []people.Provider
	// Secret reads a secret of the vault by its name.
	Secret func(ctx context.Context, name string) (string, error)
	Key    []byte // 32 bytes that seal what browsers keep
	Client *http.Client
	Now    func() time.Time
}

// Door is where users of providers come in. It is safe for concurrent use. No provider is asked before somebody wants to log in
// with it: one that is away keeps nobody else out.
type Door struct {
	Around
	box   cipher.AEAD
	spent spent
	doors map[string]*one
}

// one is a provider, as it says of itself.
type one struct {
	people.Provider
	waiting  atomic.Int32
	mu       sync.Mutex // held while it is asked
	provider *oidc.Provider
	asked    time.Time
}

// NewClient is what providers are asked with.
func NewClient() *http.Client { return &http.Client{Timeout: askFor} }

// New makes a door.
func New(a Around) (*Door, error) {
	box, err := newBox(a.Key)
	if err != nil {
		return nil, fmt.Errorf("log-ins by providers: %w", err)
	}
	d := &Door{Around: a, box: box, doors: map[string]*one{}}
	for _, p := range a.Providers {
		d.doors[p.Name] = &one{Provider: p}
	}
	return d, nil
}

// Find returns a provider by name.
func (d *Door) Find(name string) (people.Provider, bool) {
	o, there := d.doors[name]
	if !there {
		return people.Provider{}, false
	}
	return o.Provider, true
}

// All are the providers, as they were set.
func (d *Door) All() []people.Provider { return slices.Clone(d.Providers) }

// open asks a provider what it is, at most once at a time. One that answered before and does not now is believed still.
func (d *Door) open(ctx context.Context, name string) (*one, *oidc.Provider, error) {
	o, there := d.doors[name]
	if !there {
		return nil, nil, &Fault{Kind: Unknown, Text: fmt.Sprintf("there is no provider %.40q", name), Advice: "those that there are: GET /login/providers"}
	}
	defer o.waiting.Add(-1)
	if o.waiting.Add(1) > mostWaiting {
		return nil, nil, &Fault{Kind: Away, Text: o.Label() + " takes long to answer, and many wait for it", Advice: "try again in a moment"}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil && d.Now().Sub(o.asked) < discovery {
		return o, o.provider, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, d.Client), o.Issuer)
	switch {
	case err == nil:
		o.provider, o.asked = p, d.Now()
	case o.provider == nil:
		return nil, nil, &Fault{Kind: Away, Text: o.Label() + " cannot be reached, or says not what it is", Advice: "try again in a moment", Cause: err}
	}
	return o, o.provider, nil
}

// client is what the provider knows us as. Its answers come back to back.
func (d *Door) client(ctx context.Context, o *one, p *oidc.Provider, back string) (*oauth2.Config, error) {
	secret, err := "", error(nil)
	switch {
	case o.ClientSecretRef != "":
		secret, err = d.Secret(ctx, o.ClientSecretRef)
	case o.ClientSecretFile != "":
		var text []byte
		text, err = os.ReadFile(o.ClientSecretFile)
		secret = string(text)
	}
	if err != nil {
		return nil, &Fault{Kind: Broken, Text: "what this appliance shows to " + o.Label() + " cannot be read", Advice: "an administrator looks at people.oidc: client_secret_ref, client_secret_file", Cause: err}
	}
	scopes := append([]string{oidc.ScopeOpenID}, o.Scopes...)
	if len(o.Scopes) == 0 {
		scopes = append(scopes, "profile", "email")
	}
	slices.Sort(scopes)
	return &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: strings.TrimSpace(secret), Endpoint: p.Endpoint(), RedirectURL: back, Scopes: slices.Compact(scopes),
	}, nil
}

// Begin is where a browser is to go, and what it keeps meanwhile. back is where the provider sends it then, next where it wants
// to be when it is let in.
func (d *Door) Begin(ctx context.Context, name, back, next string) (to, keep string, err error) {
	o, p, err := d.open(ctx, name)
	if err != nil {
		return "", "", err
	}
	client, err := d.client(ctx, o, p, back)
	if err != nil {
		return "", "", err
	}
	j := journey{
		Provider: name, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Back: back, Next: Local(next), Until: d.Now().Add(Life).Unix(),
	}
	if keep, err = seal(d.box, j); err != nil {
		return "", "", err
	}
	return client.AuthCodeURL(j.State, oidc.Nonce(j.Nonce), oauth2.S256ChallengeOption(j.Verifier)), keep, nil
}

// Arrival is somebody whom a provider has proved.
type Arrival struct {
	Provider people.Provider
	Outside  people.Outside
	Groups   []string
	Next     string // where they want to be
}

// End takes what a browser brings back from a provider, with what it kept. In this order:
//  1. it is this browser that has gone there, not long ago, and what it brings is for that;
//  2. the provider, or the person there, did not say no;
//  3. the code is changed for the person's token, by us alone, and once;
//  4. the token is of this provider, for us, of now, and for this very log-in;
//  5. whom it names may come.
func (d *Door) End(ctx context.Context, name, kept string, q url.Values) (Arrival, error) {
	j, err := unseal(d.box, kept, d.Now())
	if err != nil || j.Provider != name || j.State == "" || !same(j.State, q.Get("state")) { // 1
		return Arrival{}, &Fault{Kind: Stale, Text: errStale.Error(), Advice: "log in again"}
	}
	o, p, err := d.open(ctx, name)
	if err != nil {
		return Arrival{}, err
	}
	if iss := q.Get("iss"); iss != "" && iss != o.Issuer { // another provider's answer (RFC 9207)
		return Arrival{}, &Fault{Kind: Refused, Text: "the answer is of another provider than was asked"}
	}
	if why := q.Get("error"); why != "" { // 2
		return Arrival{}, o.declined(why, q.Get("error_description"))
	}
	if !d.spent.use(j.State, j.Until, d.Now()) {
		return Arrival{}, &Fault{Kind: Stale, Text: "this log-in was finished before", Advice: "log in again"}
	}
	client, err := d.client(ctx, o, p, j.Back)
	if err != nil {
		return Arrival{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, d.Client), 2*askFor)
	defer cancel()
	token, err := client.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(j.Verifier)) // 3
	if err != nil {
		return Arrival{}, o.exchange(err)
	}
	said, err := d.verify(ctx, o, p, token, j) // 4
	if err != nil {
		return Arrival{}, err
	}
	if err := o.complete(ctx, p, client, token, said); err != nil {
		return Arrival{}, err
	}
	who, err := outside(o.Provider, o.Issuer, said) // 5
	return Arrival{Provider: o.Provider, Outside: who, Groups: said.list(o.Groups()), Next: j.Next}, err
}

// verify reads the token that proves somebody.
func (d *Door) verify(ctx context.Context, o *one, p *oidc.Provider, token *oauth2.Token, j journey) (claims, error) {
	raw, _ := token.Extra("id_token").(string)
	no := &Fault{Kind: Refused, Text: "what " + o.Label() + " says of who has logged in cannot be believed", Advice: "an administrator finds the reason in the log"}
	if raw == "" {
		no.Cause = errors.New("there is no id_token in the answer")
		return nil, no
	}
	verifier := p.VerifierContext(oidc.ClientContext(ctx, d.Client), &oidc.Config{ClientID: o.ClientID, Now: func() time.Time { return d.Now().Add(-skew) }})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		no.Cause = err
		return nil, no
	}
	var said claims
	if err := id.Claims(&said); err != nil {
		no.Cause = err
		return nil, no
	}
	azp := said.text("azp")
	switch {
	case !same(id.Nonce, j.Nonce):
		no.Cause = errors.New("the token is of another log-in: its nonce differs")
	case azp != "" && azp != o.ClientID, len(id.Audience) > 1 && azp == "":
		no.Cause = fmt.Errorf("the token is for another client: azp %q", azp)
	case id.IssuedAt.After(d.Now().Add(skew)):
		no.Cause = fmt.Errorf("the token was issued at %s, which is still to come: the clocks differ", id.IssuedAt)
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		no.Cause = errors.New("the token does not belong to the access token beside it")
	default:
		return said, nil
	}
	return nil, no
}

// complete asks the provider for what the token does not say and is needed here.
func (o *one) complete(ctx context.Context, p *oidc.Provider, client *oauth2.Config, token *oauth2.Token, said claims) error {
	lacks := func(name string) bool { _, is := said[name]; return name != "" && !is }
	if p.UserInfoEndpoint() == "" || !(o.Grouped() && lacks(o.Groups()) || lacks(o.UsernameClaim) || len(o.AllowedDomains) > 0 && lacks("email") || nameOf(o.Provider, said) == "") {
		return nil
	}
	info, err := p.UserInfo(ctx, client.TokenSource(ctx, token))
	var more map[string]json.RawMessage
	if err == nil {
		err = info.Claims(&more)
	}
	if err != nil {
		return &Fault{Kind: Away, Text: o.Label() + " does not say more of who has logged in", Advice: "try again in a moment", Cause: err}
	}
	if info.Subject != said.text("sub") {
		return &Fault{Kind: Refused, Text: o.Label() + " speaks of somebody else than has logged in"}
	}
	for name, value := range more {
		if lacks(name) {
			said[name] = value
		}
	}
	return nil
}

// declined is what a provider says instead of a code.
func (o *one) declined(why, more string) error {
	f := &Fault{Kind: Refused, Text: o.Label() + " did not log anybody in", Cause: fmt.Errorf("%.100q: %.300q", why, more)}
	switch why {
	case "access_denied", "login_required", "interaction_required", "consent_required":
		f.Kind, f.Text = Cancelled, "nobody has logged in at "+o.Label()
	case "temporarily_unavailable", "server_error":
		f.Kind, f.Advice = Away, "try again in a moment"
	}
	return f
}

// exchange is why a code was not changed for a token.
func (o *one) exchange(err error) error {
	if refused, is := errors.AsType[*oauth2.RetrieveError](err); is && refused.Response.StatusCode < 500 {
		f := &Fault{Kind: Stale, Text: o.Label() + " does not know this log-in any more", Advice: "log in again", Cause: err}
		if refused.ErrorCode == "invalid_client" || refused.ErrorCode == "unauthorized_client" {
			f.Kind, f.Text, f.Advice = Broken, o.Label()+" does not know this appliance", "an administrator looks at people.oidc: client_id and its secret"
		}
		return f
	}
	return &Fault{Kind: Away, Text: o.Label() + " cannot be reached", Advice: "try again in a moment", Cause: err}
}
