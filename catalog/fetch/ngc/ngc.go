package ngc

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// Where NGC answers.
const (
	Endpoint = "https://api.ngc.nvidia.com"
	LogIn    = "https://authn.nvidia.com"
)

const (
	keyPage    = "https://org.ngc.nvidia.com/setup/api-key"
	personal   = "nvapi-" // begins the keys that are sent as they are; older ones are changed for a token first
	mostPages  = 200
	pageSize   = 1000
	tokenHolds = 5 * time.Minute // where the log-in does not say how long
)

// Options of a Source.
type Options struct {
	Endpoint string // empty: Endpoint
	LogIn    string // empty: LogIn. It gets keys of the older kind
	// Key returns the API key of the box's owner; "" where there is none: then there are only models that are open to all. Nil:
	// there is none.
	Key func(context.Context) (string, error)
	// Secret is the name under which the owner keeps the key, for sentences. Empty: NGC_API_KEY.
	Secret string
	HTTP   *web.Client
}

// Source is NGC's registry of models. It implements fetch.Source.
type Source struct {
	endpoint, logIn, secret string
	key                     func(context.Context) (string, error)
	http                    *web.Client

	mu     sync.Mutex
	tokens map[string]token // by key and scope
}

type token struct {
	text  string
	until time.Time
}

// New makes one.
func New(o Options) *Source {
	s := &Source{
		endpoint: strings.TrimRight(cmp.Or(o.Endpoint, Endpoint), "/"), logIn: strings.TrimRight(cmp.Or(o.LogIn, LogIn), "/"),
		secret: cmp.Or(o.Secret, "NGC_API_KEY"), key: o.Key, http: o.HTTP, tokens: map[string]token{},
	}
	if s.key == nil {
		s.key = func(context.Context) (string, error) { return "", nil }
	}
	if s.http == nil {
		s.http = web.New(web.Options{})
	}
	return s
}

// model is the one that is asked for, and by whom.
type model struct {
	org, team, name, version string
	credentials              http.Header
	key                      bool
}

// path is where the API has it: who has a key asks as a member of the org, others ask for what is open to all.
func (m model) path() string {
	parts := []string{"/v2/models", m.org, m.team, m.name}
	if m.key {
		parts = []string{"/v2/org", m.org}
		if m.team != "" {
			parts = append(parts, "team", m.team)
		}
		parts = append(parts, "models", m.name)
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	for i, p := range parts[1:] {
		parts[i+1] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// page is what people look at.
func (m model) page() string {
	team := ""
	if m.team != "" {
		team = "/teams/" + m.team
	}
	return "https://catalog.ngc.nvidia.com/orgs/" + m.org + team + "/models/" + m.name
}

// ask takes a ref apart and logs in.
func (s *Source) ask(ctx context.Context, ref fetch.Ref) (model, error) {
	parts := strings.Split(ref.Where, "/")
	m := model{org: parts[0], name: parts[len(parts)-1], version: ref.Revision}
	switch len(parts) {
	case 2:
	case 3:
		m.team = parts[1]
	default:
		return m, fetch.Say(fetch.ErrRef, "write ngc:ORG/NAME:VERSION or ngc:ORG/TEAM/NAME:VERSION", "%q is no model of NGC", ref.Where)
	}
	key, err := s.key(ctx)
	if err != nil || key == "" {
		return m, err
	}
	m.key = true
	if !strings.HasPrefix(key, personal) {
		if key, err = s.changed(ctx, key, m); err != nil {
			return m, err
		}
	}
	m.credentials = web.Bearer(key)
	return m, nil
}

// changed is the token that the log-in gives for a key of the older kind.
func (s *Source) changed(ctx context.Context, key string, m model) (string, error) {
	scope := url.Values{"service": {"ngc"}, "scope": {"group/ngc:" + m.org}}
	if m.team != "" {
		scope.Add("scope", "group/ngc:"+m.org+"/"+m.team)
	}
	query := scope.Encode()
	s.mu.Lock()
	kept := s.tokens[key+" "+query]
	s.mu.Unlock()
	if time.Now().Before(kept.until) {
		return kept.text, nil
	}
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth("$oauthtoken", key)
	var answer struct {
		Token   string `json:"token"`
		Seconds int64  `json:"expires_in"`
	}
	if _, err := s.http.JSON(ctx, web.Request{URL: s.logIn + "/token?" + query, Credentials: r.Header}, &answer); err != nil {
		return "", s.explain(m, err)
	}
	if answer.Token == "" {
		return "", fetch.Say(fetch.ErrDenied, "make a new one at "+keyPage+", then: palisade secret set "+s.secret, "NGC gives no token for the key that is kept as %s", s.secret)
	}
	holds := tokenHolds
	if answer.Seconds > 0 {
		holds = time.Duration(min(answer.Seconds, 3600)) * time.Second / 2
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) > 100 {
		clear(s.tokens)
	}
	s.tokens[key+" "+query] = token{answer.Token, time.Now().Add(holds)}
	return answer.Token, nil
}

// List asks for the files of a version; the newest one where none is named. What the key's owner may not have may be open to
// all still.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	m, err := s.ask(ctx, ref)
	if err != nil {
		return fetch.Listing{}, err
	}
	l, err := s.list(ctx, m, ref)
	if m.key && (errors.Is(err, fetch.ErrDenied) || errors.Is(err, fetch.ErrNotFound)) {
		guest := m
		guest.key, guest.credentials = false, nil
		if l, second := s.list(ctx, guest, ref); second == nil {
			return l, nil
		}
	}
	return l, err
}

func (s *Source) list(ctx context.Context, m model, ref fetch.Ref) (fetch.Listing, error) {
	if m.version == "" {
		newest, err := s.newest(ctx, m)
		if err != nil {
			return fetch.Listing{}, err
		}
		m.version = newest
	}
	var files []fetch.File
	for page := range mostPages {
		var answer struct {
			Files []struct {
				Path   string `json:"path"`
				Bytes  *int64 `json:"sizeInBytes"`
				SHA256 string `json:"sha256_base64"`
			} `json:"modelFiles"`
			Version struct {
				Status string `json:"status"`
			} `json:"modelVersion"`
			Pages struct {
				Total int `json:"totalPages"`
			} `json:"paginationInfo"`
		}
		at := s.endpoint + m.path() + "/versions/" + url.PathEscape(m.version) + "/files"
		query := "?page-number=" + strconv.Itoa(page) + "&page-size=" + strconv.Itoa(pageSize)
		if _, err := s.http.JSON(ctx, web.Request{URL: at + query, Credentials: m.credentials}, &answer); err != nil {
			return fetch.Listing{}, s.explain(m, err)
		}
		if status := answer.Version.Status; strings.HasPrefix(status, "UPLOAD_") && status != "UPLOAD_COMPLETE" {
			return fetch.Listing{}, fetch.Say(fetch.ErrNotFound, "try again when it is; its versions: "+m.page(), "version %s of %s is not whole at NGC yet (%s)", m.version, ref.Where, status)
		}
		for _, f := range answer.Files {
			out := fetch.File{Name: f.Path, Bytes: -1, SHA256: hexOf(f.SHA256), At: at + "/" + escape(f.Path)}
			if f.Bytes != nil && *f.Bytes >= 0 {
				out.Bytes = *f.Bytes
			}
			files = append(files, out)
		}
		if len(files) > mostPages*pageSize { // pages may be larger than was asked for
			break
		}
		if page+1 >= answer.Pages.Total || len(answer.Files) == 0 {
			sorted, err := fetch.Sorted(files)
			if err != nil {
				return fetch.Listing{}, fetch.Say(fetch.ErrRefused, "", "%s at NGC: %v", ref.Where, err)
			}
			return fetch.Listing{Ref: ref, Revision: m.version, Files: sorted}, nil
		}
	}
	return fetch.Listing{}, fetch.Say(fetch.ErrRefused, "", "%s has more than %d files", ref.Where, mostPages*pageSize)
}

func (s *Source) newest(ctx context.Context, m model) (string, error) {
	var answer struct {
		Model struct {
			Newest string `json:"latestVersionIdStr"`
		} `json:"model"`
	}
	if _, err := s.http.JSON(ctx, web.Request{URL: s.endpoint + m.path(), Credentials: m.credentials}, &answer); err != nil {
		return "", s.explain(m, err)
	}
	if answer.Model.Newest == "" {
		return "", fetch.Say(fetch.ErrNotFound, "its versions: "+m.page(), "%s has no version at NGC", m.name)
	}
	return answer.Model.Newest, nil
}

// Open reads a part of a file. NGC sends it to a store, which the key does not go to.
func (s *Source) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	m, err := s.ask(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(f.At, s.endpoint+"/v2/models/") { // it was listed without the key
		m.credentials = nil
	}
	body, _, err := s.http.Read(ctx, web.Request{URL: f.At, Credentials: m.credentials}, web.Range{Offset: offset, Length: length, Bytes: f.Bytes})
	if err != nil {
		return nil, s.explain(m, err)
	}
	return body, nil
}

// explain puts an answer of NGC into words that say what to do.
func (s *Source) explain(m model, err error) error {
	answer, is := errors.AsType[*web.Error](err)
	if !is {
		return err
	}
	where := strings.TrimSuffix(m.org+"/"+m.team, "/") + "/" + m.name
	switch status := answer.Status; {
	case (status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound) && !m.key:
		return fetch.Say(fetch.ErrDenied, "is the name right ("+m.page()+")? If so, make a key at "+keyPage+", then: palisade secret set "+s.secret,
			"NGC has no model %s that is open to all", where)
	case status == http.StatusUnauthorized:
		return fetch.Say(fetch.ErrDenied, "make a new one at "+keyPage+", then: palisade secret set "+s.secret, "NGC refuses the key that is kept as %s", s.secret)
	case status == http.StatusForbidden || status == http.StatusPaymentRequired:
		return fetch.Say(fetch.ErrDenied, "open "+m.page()+" logged in as the key's owner: terms may have to be accepted, or a subscription is needed",
			"the key that is kept as %s may not have %s", s.secret, where)
	case status == http.StatusNotFound:
		return fetch.Say(fetch.ErrNotFound, "is it right? "+m.page(), "NGC has no %s in version %q", where, m.version)
	}
	return err
}

// hexOf is a checksum as it is written here; empty where it is none.
func hexOf(text string) string {
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != 32 {
		return ""
	}
	return hex.EncodeToString(sum)
}

func escape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
