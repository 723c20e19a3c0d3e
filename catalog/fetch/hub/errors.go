package hub

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// explain puts an answer of the hub into words that say what to do. The hub says what it means in X-Error-Code and
// X-Error-Message; its status alone misleads: who is not logged in gets 401 for what is not there.
//  1. There is no such model, or it is private.
//  2. There is no such revision, or no such file.
//  3. It is gated: the publisher's terms are to be accepted by the one whose token it is.
//  4. The token itself is not known, or may not do this.
//  5. Too many requests: when to come again.
//
// Anything else stays as it is.
func (s *Source) explain(a asked, err error) error {
	answer, is := errors.AsType[*web.Error](err)
	if !is || answer.Status == 0 {
		return err
	}
	code, said := answer.Header.Get("X-Error-Code"), answer.Header.Get("X-Error-Message")
	page := s.endpoint + "/" + a.repo
	unknown := answer.Status == http.StatusUnauthorized && strings.Contains(said, "Invalid credentials in Authorization header")
	switch {
	case code == "RepoNotFound" || code == "" && answer.Status == http.StatusUnauthorized && a.token == "": // 1
		return s.noRepo(a)
	case code == "RevisionNotFound": // 2
		return fetch.Say(fetch.ErrNotFound, "its branches and commits: "+page+"/commits", "%s has no branch, tag or commit %q", a.repo, a.revision)
	case code == "EntryNotFound":
		return fetch.Say(fetch.ErrNotFound, "its files: "+page+"/tree/"+a.revision, "%s does not have that file any more", a.repo)
	case code == "GatedRepo": // 3
		return s.gated(a, page)
	case code == "DisabledRepo":
		return fetch.Say(fetch.ErrDenied, "its page may say why: "+page, "%s was disabled by the hub", a.repo)
	case unknown: // 4
		return fetch.Say(fetch.ErrDenied, "make a new one at "+s.endpoint+"/settings/tokens, then: palisade secret set "+s.secret,
			"the hub does not know the token that is kept as %s (or it has run out)", s.secret)
	case answer.Status == http.StatusForbidden && strings.Contains(said, "fine-grained"):
		return fetch.Say(fetch.ErrDenied, "give it read access to public gated repositories at "+s.endpoint+"/settings/tokens",
			"the token that is kept as %s may not read %s: %s", s.secret, a.repo, strings.TrimRight(said, "."))
	case answer.Status == http.StatusTooManyRequests: // 5
		return s.later(answer, err)
	case answer.Kind != nil && said != "":
		return fetch.Say(answer.Kind, answer.Hint(), "%s: %d %s", page, answer.Status, said)
	}
	return err
}

func (s *Source) noRepo(a asked) error {
	if a.token == "" {
		return fetch.Say(fetch.ErrNotFound, "is the name right? If it is private, keep a token of who may read it: palisade secret set "+s.secret,
			"the hub has no public model %s", a.repo)
	}
	return fetch.Say(fetch.ErrNotFound, "is the name right? If it is private, may the owner of the token "+s.secret+" read it?",
		"the hub has no model %s that this token shows", a.repo)
}

func (s *Source) gated(a asked, page string) error {
	if a.token == "" {
		return fetch.Say(fetch.ErrDenied, "accept its terms at "+page+", make a token that may read at "+s.endpoint+"/settings/tokens, then: palisade secret set "+s.secret,
			"%s is gated: its publisher lets in who has accepted the terms", a.repo)
	}
	return fetch.Say(fetch.ErrDenied, "open "+page+" logged in as the token's owner and accept the terms; some publishers take days to answer. Then run the command again",
		"%s is gated, and the owner of the token %s has not been let in", a.repo, s.secret)
}

// later adds to an answer of 429 when to come again. The hub says it in RateLimit ("resolvers";r=0;t=55), which web does not
// know of; Retry-After it has read already.
func (s *Source) later(answer *web.Error, err error) error {
	if _, is := errors.AsType[*fetch.Later](err); is {
		return err
	}
	for field := range strings.SplitSeq(answer.Header.Get("RateLimit"), ";") {
		if text, is := strings.CutPrefix(strings.TrimSpace(field), "t="); is {
			if seconds, wrong := strconv.ParseUint(text, 10, 31); wrong == nil {
				return &fetch.Later{After: time.Duration(cmp.Or(seconds, 1)) * time.Second, Err: err}
			}
		}
	}
	return err
}
