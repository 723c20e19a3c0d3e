package router

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// visitor is who asks: with a token that counts, or with a reason why there is none.
type visitor struct {
	token *Token
	payer *quota.Subject // the token's limits; nil: none
	// person is the limits of who issued the token; nil: none
	person *quota.Subject
	err    error // one of the ErrToken errors where token is nil
}

// allowed tells whether the visitor's token is for s.
func (v visitor) allowed(s *service) bool {
	return v.token != nil && v.token.Allows(s.ID, s.Project)
}

// secretOf is what the client gives as its token: the Authorization header, or x-api-key where there
// is none. Another scheme than Bearer and BackendAI is ErrTokenMalformed.
func secretOf(authorization, apiKey string) (string, error) {
	if authorization == "" {
		if apiKey == "" {
			return "", ErrTokenMissing
		}
		return strings.TrimSpace(apiKey), nil
	}
	if secret, ok := strings.CutPrefix(authorization, "Bearer "); ok && secret != "" && !strings.ContainsAny(secret, " \t") { // nearly all
		return secret, nil
	}
	scheme, secret, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "BackendAI") {
		return "", ErrTokenMalformed
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", ErrTokenMissing
	}
	return secret, nil
}

// identify says who asks.
func identify(tokens *Tokens, authorization, apiKey string, now time.Time) visitor {
	secret, err := secretOf(authorization, apiKey)
	if err != nil {
		return visitor{err: err}
	}
	e, err := checkAt(tokens, secret, now)
	if err != nil {
		return visitor{err: err}
	}
	return visitor{token: &e.Token, payer: e.payer, person: e.person}
}

// choose finds among the services that a request may mean (best first) the one that v may use; nil for none. what is how
// the client named it, by address a.
//
//  1. A service that v's token is for; so nobody's open service can take the calls of those who have
//     a token for another of that name or alias.
//  2. A service that is open to all. Of those that the address is the own one of, only the oldest: who makes a service
//     of another's name gets nothing of what was meant for that, as by clients whose token has expired.
func choose(candidates []*service, v visitor, a Address, what string) *service {
	for _, s := range candidates {
		if v.allowed(s) {
			return s
		}
	}
	for i, s := range candidates {
		younger := i > 0 && (a.Kind != ByModel || s.Name == what)
		if s.Public && !younger {
			return s
		}
	}
	return nil
}

// admit chooses among the services that a request may mean the one that v may use, or says why there is none.
//
//  1. The one that choose finds.
//  2. Without a token that counts: 401, whether there is such a service or not.
//  3. The token is for another service of the same project: 403.
//  4. 404, with the same words for what is not there and for what belongs to others.
func admit(candidates []*service, v visitor, a Address, what string) (*service, *Refusal) {
	if s := choose(candidates, v, a, what); s != nil {
		return s, nil
	}
	if v.token == nil {
		return nil, unauthorized(v.err)
	}
	for _, s := range candidates {
		if v.token.Project != "" && v.token.Project == s.Project {
			return nil, &Refusal{
				Status: http.StatusForbidden, Type: invalidRequest, Code: "permission_denied",
				Message: fmt.Sprintf("This token is for another service than %q. Issue one for it, or one for the whole project.", clip(what)),
			}
		}
	}
	return nil, notFound(a, what)
}

func notFound(a Address, what string) *Refusal {
	f := &Refusal{Status: http.StatusNotFound, Type: invalidRequest, Code: codeNoModel, Param: "model"}
	f.Message = fmt.Sprintf("The model %q does not exist, or this token is not for it. GET /v1/models lists those that it is for.", clip(what))
	if a.Kind != ByModel {
		f.Code, f.Param = "service_not_found", ""
		f.Message = fmt.Sprintf("The service %q does not exist, or this token is not for it.", clip(what))
	}
	return f
}

const codeNoModel = "model_not_found"

// mostNamed is how many models a refusal names: those who have more look at the list.
const mostNamed = 8

// naming has f, where it says that there is no such model, say which ones v may ask for: a name is mistyped more often than
// a list is read.
func naming(f *Refusal, t *table, v visitor, what string) *Refusal {
	if f == nil || f.Code != codeNoModel || v.token == nil {
		return f
	}
	var names []string
	for i, s := range t.services {
		if i > 0 && t.services[i-1].Name == s.Name {
			continue
		}
		if s = choose(t.byName[s.Name], v, Address{Kind: ByName, Name: s.Name}, s.Name); s == nil {
			continue
		}
		if len(names) == mostNamed {
			return f
		}
		names = append(names, strconv.Quote(s.Name))
	}
	if len(names) > 0 {
		f.Message = fmt.Sprintf("The model %q does not exist, or this token is not for it. It is for %s.", clip(what), strings.Join(names, ", "))
	}
	return f
}

// clip bounds what of a request an error repeats.
func clip(s string) string { return clipTo(s, 128) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// unauthorized says what is wrong with a token. That one was revoked or has expired is told only to
// who has its secret.
func unauthorized(err error) *Refusal {
	f := &Refusal{Status: http.StatusUnauthorized, Type: invalidRequest, Code: "invalid_api_key"}
	const issue = " Ask the owner of the service for a new one."
	switch {
	case errors.Is(err, ErrTokenMissing):
		f.Code = "missing_api_key"
		f.Message = "No token was given, and no service that is open to all answers to this. Send one as `Authorization: Bearer TOKEN`, `Authorization: BackendAI TOKEN` or `x-api-key: TOKEN`."
	case errors.Is(err, ErrTokenMalformed):
		f.reason = "malformed_api_key"
		f.Message = "What was given is not a token of Palisade: they are `" + secretPrefix + "` and 52 characters, sent as `Authorization: Bearer TOKEN`, `Authorization: BackendAI TOKEN` or `x-api-key: TOKEN`."
	case errors.Is(err, ErrTokenExpired):
		f.Code = "expired_api_key"
		f.Message = "This token has expired." + issue
	case errors.Is(err, ErrTokenRevoked):
		f.Code = "revoked_api_key"
		f.Message = "This token was revoked." + issue
	default:
		f.Message = "This token is not known here." + issue
	}
	return f
}

// listing gives the services that v may use and those open to all, as /v1/models shows them: each name once, with the
// service that it means to v. A token
// of ours that does not count, or nothing to show to one without, is a 401; a made-up key, which most
// clients send when they have none, sees what is open.
func listing(t *table, v visitor) ([]*service, *Refusal) {
	dead := errors.Is(v.err, ErrTokenExpired) || errors.Is(v.err, ErrTokenRevoked) || errors.Is(v.err, ErrTokenUnknown)
	if v.token == nil && (dead || !t.anyOpen) {
		return nil, unauthorized(v.err)
	}
	var out []*service
	for i, s := range t.services {
		if i > 0 && t.services[i-1].Name == s.Name {
			continue
		}
		if s = choose(t.byName[s.Name], v, Address{Kind: ByName, Name: s.Name}, s.Name); s != nil {
			out = append(out, s)
		}
	}
	return out, nil
}
