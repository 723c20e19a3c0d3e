package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/git"
	"github.com/palisade-run/palisade/catalog/fetch/hub"
	"github.com/palisade-run/palisade/catalog/fetch/local"
	"github.com/palisade-run/palisade/catalog/fetch/made"
	"github.com/palisade-run/palisade/catalog/fetch/ngc"
	"github.com/palisade-run/palisade/catalog/fetch/oci"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/catalog/fetch/s3"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/model-definitions/hello/gguf"
)

// places are where models come from: a Source for each scheme of a fetch.Ref, with what opens it out of the vault.
//
// What opens a place goes to that place alone. A recipe may be anybody's, and may name any place and any secret: so secrets
// that a recipe names are taken only where their name says that they are for that place, and log-ins for hosts that a recipe
// chooses (registries, git, plain HTTP) go by the host that the owner gave them for.
type places struct {
	named      vault.Named
	registries vault.Registries
	http       *web.Client
	insecure   []string
	hub        string
	table      map[string]maker

	mu   sync.Mutex
	made map[string]fetch.Source // by scheme and secret: they remember where they were sent to
}

// maker makes the Source of a scheme; secret names what opens it, where a recipe says so.
type maker func(secret string) (fetch.Source, error)

// placesOptions is what places need to know.
type placesOptions struct {
	data     string   // of the daemon
	hub      string   // address of the hub, or of a mirror; "": what it is
	insecure []string // registries that may be asked without TLS
	vault    *vault.Vault
	guard    *reach.Guard
	http     *web.Client
}

func newPlaces(o placesOptions) *places {
	p := &places{named: o.vault.Named(), registries: o.vault.Registries(), http: o.http, insecure: o.insecure, hub: o.hub, made: map[string]fetch.Source{}}
	p.table = map[string]maker{
		"hf": func(secret string) (fetch.Source, error) {
			return hub.New(hub.Options{Endpoint: o.hub, Token: p.secret(secret, "HF_TOKEN"), Secret: secret, HTTP: o.http})
		},
		"ngc": func(secret string) (fetch.Source, error) {
			return ngc.New(ngc.Options{Key: p.secret(secret, "NGC_API_KEY"), Secret: secret, HTTP: o.http}), nil
		},
		"file": func(string) (fetch.Source, error) { return local.New(), nil },
		"oci": func(string) (fetch.Source, error) {
			return oci.New(oci.Config{Credentials: p.registries.Credentials, PlainHTTP: o.insecure, Transport: web.Patient(o.guard)}), nil
		},
		"s3": func(string) (fetch.Source, error) {
			return s3.New(s3.Config{Settings: p.store, Transport: web.Patient(o.guard)}), nil
		},
		"git": func(string) (fetch.Source, error) {
			return git.New(git.Options{Dir: filepath.Join(o.data, "catalog", "git"), LogIn: p.registries.Credentials, PlainHTTP: o.insecure, HTTP: o.http}), nil
		},
		"made": func(string) (fetch.Source, error) {
			return made.New(made.Makers{"hello.gguf": func() (io.WriterTo, error) { return gguf.Recite("hello", gguf.Greeting) }}), nil
		},
	}
	return p
}

// prefixes are what names of secrets begin with that go to a place.
var prefixes = map[string][]string{"hf": {"HF_", "HUGGING"}, "ngc": {"NGC_"}, "s3": {"AWS_", "S3_"}}

// Source is the place of a ref. The secret is what a recipe names for it; "" is the one that the place has by itself. What the
// settings name (a mirror of the hub, a store) is the owner's, whoever asks.
func (p *places) Source(ctx context.Context, ref fetch.Ref, by install.Asker) (fetch.Source, error) {
	s, err := p.source(ctx, ref, by.Secret)
	switch {
	case err != nil:
		return nil, err
	case ref.Scheme == "hf" && p.hub != "":
		return ours{s, hostIn(p.hub)}, nil
	case ref.Scheme == "s3":
		set, err := p.store(ctx, "")
		if err != nil || set.Endpoint == "" {
			return s, err
		}
		return ours{s, hostIn(set.Endpoint)}, nil
	case by.ByHand:
		return ours{s, hostIn(ref.Where)}, nil
	}
	return s, nil
}

// ours is a place that the owner of the box has named.
type ours struct {
	fetch.Source
	host string
}

// List implements fetch.Source.
func (o ours) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	return o.Source.List(reach.Owner(ctx, o.host), ref)
}

// Open implements fetch.Source.
func (o ours) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	return o.Source.Open(reach.Owner(ctx, o.host), in, f, offset, length)
}

// hostIn is the host of an address, or of what begins with one.
func hostIn(where string) string {
	if u, err := url.Parse(where); err == nil && u.Host != "" {
		return u.Host
	}
	host, _, _ := strings.Cut(where, "/")
	return host
}

func (p *places) source(ctx context.Context, ref fetch.Ref, secret string) (fetch.Source, error) {
	if ref.Scheme == "http" { // by host: it has one of its own each time
		return p.web(ctx, ref)
	}
	maker, ok := p.table[ref.Scheme]
	if !ok {
		return nil, fetch.Say(fetch.ErrRef, "", "models cannot be fetched from %s", ref)
	}
	if begin := prefixes[ref.Scheme]; begin == nil {
		secret = ""
	} else if secret != "" && !slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(secret, b) }) {
		return nil, fetch.Say(fetch.ErrRefused, "the names of secrets that go there begin with "+strings.Join(begin, " or ")+": the recipe is to be corrected",
			"the secret %s is not for %s", secret, ref)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := ref.Scheme + " " + secret
	if s := p.made[key]; s != nil {
		return s, nil
	}
	s, err := maker(secret)
	if err != nil {
		return nil, err
	}
	p.made[key] = s
	return s, nil
}

// secret reads a secret each time that it is asked for; "" where it is not kept.
func (p *places) secret(name, otherwise string) func(context.Context) (string, error) {
	if name == "" {
		name = otherwise
	}
	return func(ctx context.Context) (string, error) {
		s, err := p.named.Get(ctx, name)
		if errors.Is(err, vault.ErrNotFound) {
			return "", nil
		}
		return strings.TrimSpace(s.Reveal()), err
	}
}

// store is how the owner's S3 store is spoken to, out of secrets with the names that all its tools use.
func (p *places) store(ctx context.Context, _ string) (s3.Settings, error) {
	var set s3.Settings
	for name, to := range map[string]*string{
		"AWS_ENDPOINT_URL": &set.Endpoint, "AWS_REGION": &set.Region, "AWS_ACCESS_KEY_ID": &set.Key, "AWS_SECRET_ACCESS_KEY": &set.Secret, "AWS_SESSION_TOKEN": &set.Session,
	} {
		value, err := p.secret(name, "")(ctx)
		if err != nil {
			return s3.Settings{}, fmt.Errorf("secret %s: %w", name, err)
		}
		*to = value
	}
	return set, nil
}

// web is a file at an address, with the log-in of its host.
func (p *places) web(ctx context.Context, ref fetch.Ref) (fetch.Source, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ref.Where, http.NoBody)
	if err != nil {
		return nil, fetch.Say(fetch.ErrRef, "", "%s is no address", ref)
	}
	user, password, err := p.registries.Credentials(ctx, request.URL.Host)
	if err != nil {
		return nil, fmt.Errorf("the log-in for %s: %w", request.URL.Host, err)
	}
	switch {
	case password != "" && web.Exposed(request.URL, p.insecure):
		return nil, fetch.Say(fetch.ErrRefused, "write https://, or list the host in the settings under containerd.insecure_registries",
			"the log-in that is kept for %s is not sent over plain http", request.URL.Host)
	case password == "":
		return web.NewSource(p.http, nil), nil
	case user == "":
		return web.NewSource(p.http, web.Bearer(password)), nil
	}
	request.SetBasicAuth(user, password)
	return web.NewSource(p.http, request.Header), nil
}
