package oidc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/people/oidc"
)

// liar is a provider that says what a test wants it to: no real one gives out such tokens.
type liar struct {
	*httptest.Server
	key *rsa.PrivateKey
	say func(said map[string]any, head map[string]any) // changes a token that is good
	by  *rsa.PrivateKey                                // signs it
}

// as is what a token says that is good.
func (l *liar) as(nonce string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": l.URL, "aud": "palisade", "sub": "4711", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": nonce, "preferred_username": "ada",
	}
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{key: key, by: key}
	mux := http.NewServeMux()
	answer := func(pattern string, of func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(of(r)); err != nil {
				t.Error(err)
			}
		})
	}
	answer("GET /.well-known/openid-configuration", func(*http.Request) any {
		return map[string]any{
			"issuer": l.URL, "authorization_endpoint": l.URL + "/auth", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		}
	})
	answer("GET /keys", func(*http.Request) any {
		return map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}}
	})
	answer("POST /token", func(r *http.Request) any { // the code is the nonce, so that it knows which log-in it is
		said, head := l.as(r.PostFormValue("code")), map[string]any{"alg": "RS256", "kid": "one"}
		l.say(said, head)
		return map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": l.token(t, said, head)}
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

// token is one that says so, signed.
func (l *liar) token(t *testing.T, said, head map[string]any) string {
	t.Helper()
	var parts []string
	for _, part := range []any{head, said} {
		raw, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	text := strings.Join(parts, ".")
	if head["alg"] == "none" {
		return text + "."
	}
	sum := sha256.Sum256([]byte(text))
	signed, err := rsa.SignPKCS1v15(rand.Reader, l.by, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signed)
}

// TestForgedTokens: a token that is another log-in's, for somebody else, over, or of nobody's signature lets nobody in.
func TestForgedTokens(t *testing.T) {
	l := newLiar(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, c := range map[string]struct {
		say  func(said, head map[string]any)
		by   *rsa.PrivateKey
		want oidc.Kind
		why  string // of the cause, for who reads the log
	}{
		"a good one":                      {say: func(_, _ map[string]any) {}},
		"over, within what clocks differ": {say: func(said, _ map[string]any) { said["exp"] = ago(time.Minute) }},
		"the nonce of another log-in":     {say: func(said, _ map[string]any) { said["nonce"] = "another" }, want: oidc.Refused, why: "nonce"},
		"no nonce":                        {say: func(said, _ map[string]any) { delete(said, "nonce") }, want: oidc.Refused, why: "nonce"},
		"for another program":             {say: func(said, _ map[string]any) { said["aud"] = "another" }, want: oidc.Refused, why: "audience"},
		"for several, and not said whose": {say: func(said, _ map[string]any) { said["aud"] = []string{"palisade", "another"} }, want: oidc.Refused, why: "azp"},
		"given to another program":        {say: func(said, _ map[string]any) { said["azp"] = "another" }, want: oidc.Refused, why: "azp"},
		"expired":                         {say: func(said, _ map[string]any) { said["exp"] = ago(3 * time.Minute) }, want: oidc.Refused, why: "expired"},
		"issued in the time to come":      {say: func(said, _ map[string]any) { said["iat"] = ago(-time.Hour) }, want: oidc.Refused, why: "clocks"},
		"of another provider":             {say: func(said, _ map[string]any) { said["iss"] = "https://evil.example" }, want: oidc.Refused, why: "different provider"},
		"signed by a stranger":            {say: func(_, _ map[string]any) {}, by: stranger, want: oidc.Refused, why: "signature"},
		"signed by nobody":                {say: func(_, head map[string]any) { head["alg"] = "none" }, want: oidc.Refused, why: "algorithm"},
		"of nobody":                       {say: func(said, _ map[string]any) { delete(said, "sub") }, want: oidc.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			l.say, l.by = c.say, l.key
			if c.by != nil {
				l.by = c.by
			}
			door := newDoor(t, &clock{}, people.Provider{Name: "corp", Issuer: l.URL, ClientID: "palisade", ClientSecretRef: "DEX_SECRET"})
			to, keep, err := door.Begin(t.Context(), "corp", back, "/console/")
			if err != nil {
				t.Fatal(err)
			}
			at, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			in, err := door.End(t.Context(), "corp", keep, url.Values{"state": {at.Query().Get("state")}, "code": {at.Query().Get("nonce")}})
			if kindOf(err) != c.want || c.want == "" && (err != nil || in.Outside.Subject != "4711") {
				t.Fatalf("%+v %v", in, err)
			}
			if err != nil && strings.Contains(err.Error(), "another") {
				t.Errorf("people are told what the token says: %v", err)
			}
			if cause := causeOf(err); !strings.Contains(cause, c.why) {
				t.Errorf("%q says nothing of %q", cause, c.why)
			}
		})
	}
}

// causeOf is what the log is told of a refusal.
func causeOf(err error) string {
	if f, is := errors.AsType[*oidc.Fault](err); is && f.Cause != nil {
		return f.Cause.Error()
	}
	return ""
}
