package console

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/markdown"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// The playground asks services as any client does: its script has the API make a token that is good for an hour, keeps it in
// the page's memory, and takes it away when the page is left. What it says is in the usage of whoever looks, and in the limits.
// A way around tokens would have to know limits and usage anew.
func playgroundPages() []Page {
	return []Page{{Pattern: "/playground", Name: "playground/show", Section: "playground", Data: playgroundShow}}
}

func playgroundActions() []Action {
	return []Action{
		{Pattern: "/playground/markdown", Do: func(v *View) (Outcome, error) {
			return Outcome{Fragment: "fragment-markdown", Data: markdown.Render(v.Field("text"))}, nil
		}},
		{Pattern: "/playground/code", Do: playgroundCode},
	}
}

// playgroundMost bounds the services that can be chosen. What an address names can be chosen in any case.
const playgroundMost = 200

// playground is what can be asked.
type playground struct {
	Services []playable
	Total    int
	One, Two playable // that are chosen; Two may have no name
	Texts    map[string]string
}

// playable is a service, as the page's script reads it.
type playable struct {
	Name    string `json:"name"`
	Model   string `json:"model"` // as clients ask for it
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Task    string `json:"task"` // chat, vision, embedding, ...; "" not known
	Variant string `json:"variant"`
	Public  bool   `json:"public"`
}

// Chats says whether it can be talked to, as far as that is known.
func (p playable) Chats() bool {
	return slices.Contains([]string{"", "chat", "vision", "completion"}, p.Task) && p.Variant != "tei" && p.Variant != "triton"
}

// Embeds says whether it makes vectors.
func (p playable) Embeds() bool {
	return p.Task == "embedding" || p.Task == "" && p.Variant == "tei"
}

func playgroundShow(v *View) (any, error) {
	ctx := v.Context()
	var models []api.Model
	var wg sync.WaitGroup
	wg.Go(func() { models, _ = v.API.Models(ctx) }) // without them tasks are not known
	found, err := v.API.ServiceOverview(ctx, api.ServiceOverviewFilter{Limit: playgroundMost})
	wg.Wait()
	if err != nil {
		return nil, err
	}
	tasks := map[string]string{}
	for _, m := range models {
		tasks[m.Service] = m.Task
	}
	out := playground{Total: found.Total, Texts: playgroundTexts(v)}
	for _, row := range found.Items {
		out.Services = append(out.Services, playable{row.Name, row.ModelName, row.Status, row.Reason, tasks[row.Name], row.RuntimeVariant, row.OpenToPublic})
	}
	one := v.Parameter("service")
	if one == "" {
		one = v.Parameter("model")
	}
	for wanted, at := range map[string]*playable{one: &out.One, v.Parameter("compare"): &out.Two} {
		if wanted == "" {
			continue
		}
		if i := slices.IndexFunc(out.Services, func(p playable) bool { return p.Name == wanted }); i >= 0 {
			*at = out.Services[i]
			continue
		}
		s, err := v.API.Service(ctx, wanted)
		if err != nil {
			return nil, err
		}
		*at = playable{s.Name, s.ModelName, s.Status, s.Reason, tasks[s.Name], s.Recipe.RuntimeVariant, s.OpenToPublic}
		out.Services = append(out.Services, *at)
	}
	if out.One.Name == "" {
		out.One = firstToTalkTo(out.Services)
	}
	return out, nil
}

// firstToTalkTo is the service that a page begins with: a healthy one that chats, else one that chats, else any.
func firstToTalkTo(all []playable) playable {
	best, rank := playable{}, -1
	for _, p := range all {
		r := 0
		if p.Chats() {
			r += 2
		}
		if p.Status == "HEALTHY" {
			r++
		}
		if r > rank {
			best, rank = p, r
		}
	}
	return best
}

// playgroundTexts are what the page's script says.
func playgroundTexts(v *View) map[string]string {
	out := map[string]string{}
	for _, key := range []string{
		"you", "stopped", "starting", "starting_eta", "waiting", "limited", "limited_for", "too_long", "refused", "gone", "no_chat", "unavailable", "network", "broken", "engine", "empty",
		"tokens_s", "first", "total", "tokens", "thinking", "edit", "again", "image_large", "image_kind", "image_many", "cosine", "numbers", "remove_image", "answer",
	} {
		out[key] = v.Say("playground.js." + key)
	}
	return out
}

// playgroundCode writes a request as it was sent in the languages that people ask from.
func playgroundCode(v *View) (Outcome, error) {
	codes, err := ui.ChatCode(v.Field("base"), json.RawMessage(v.Field("request")))
	if err != nil {
		return Outcome{}, api.NewProblem(api.KindInvalid, 400, "the request cannot be read: %v", err)
	}
	return Outcome{Fragment: "fragment-code", Data: codes}, nil
}
