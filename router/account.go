package router

import (
	"net/http"
	"time"

	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/usage"
)

// pay takes what the call will use, as far as that is known, from the limits of its token, of the
// service's project, and of who issued the token.
func (x *exchange) pay() *Refusal {
	x.payers = quota.Payers{x.who.payer, x.service.payer, x.who.person}
	if x.payers.None() {
		return nil
	}
	ask := quota.Ask{Bytes: max(x.call.length, 0), Answer: -1}
	if x.scan != nil {
		ask.Answer = x.scan.MaxTokens()
	}
	var refusal quota.Refusal
	if x.grant, refusal, x.granted = x.router.tokens.take(x.start, x.payers, ask); !x.granted {
		x.service.metrics.limit(refusal.Kind.String())
		return overLimit(&refusal)
	}
	return nil
}

// limitHeaders tell what is left of the limits.
func (x *exchange) limitHeaders() {
	if x.service == nil || x.payers.None() {
		return
	}
	state := x.payers.State(time.Now())
	var room [32]byte
	state.Fields(room[:0], func(name string, value []byte) bool {
		x.client.header([]byte(name), value)
		return true
	})
}

// askUsage asks the engine for what a stream uses, where the client did not.
func (x *exchange) askUsage() {
	if !x.service.Traffic.AskUsage || !x.read || !x.scan.Stream() || x.kind != kindChat && x.kind != kindCompletions {
		return
	}
	asked := x.scan.AskUsage(x.asked, x.body.prefix)
	if &asked[0] == &x.body.prefix[0] {
		return // nothing had to be changed
	}
	x.asked = asked
	x.body.prefix, x.body.length = asked, int64(len(asked))
}

// repeat looks whether the very same was asked just before. done: it is answered.
func (x *exchange) repeat() (done bool, refusal *Refusal) {
	if x.service.Traffic.Repeat.Window <= 0 || x.body.rest != nil || x.call.method != http.MethodPost || x.scan != nil && x.scan.Stream() {
		return false, nil
	}
	key := repeat.KeyOf(x.body.prefix, x.payerName(), x.call.method, x.address.Path, x.call.query, x.call.contentType, x.call.field("accept"), x.call.field("accept-encoding"))
	turn, err := x.service.guard.Enter(x.client.context(), x.start, key)
	if err != nil {
		if x.client.left() {
			return false, clientGone()
		}
		return false, &Refusal{
			Status: http.StatusTooManyRequests, Type: "requests", Code: "too_many_repeats", RetryAfter: 5 * time.Second,
			Message: "Too many identical requests wait for the answer of the first one.",
		}
	}
	x.turn = turn
	answer := turn.Answer()
	if answer == nil {
		return false, nil
	}
	x.repeated = true
	x.respond(answer.Status, x.againHeaders(answer.Header), answer.Body)
	return true, nil
}

// keep begins to keep the request, where the owner wants to look at the last ones.
func (x *exchange) keep() {
	if x.service.capture == nil {
		return
	}
	x.capture = x.service.capture.Begin(x.start)
	target := x.address.Path
	if x.call.asks {
		target += "?" + x.call.query
	}
	x.capture.Line(x.call.method, target)
	for i := range x.call.fields {
		x.capture.Field(text(x.call.fields[i].Name), text(x.call.fields[i].Value))
	}
}

// tell gives those who look in what the request did.
func (x *exchange) tell(took time.Duration) {
	o, s := &x.router.observers, x.service
	u := x.used.Usage()
	if !x.counts {
		u.Known, u.Completion = true, 0
	}
	if x.granted {
		x.grant.Settle(x.now, u.Prompt+u.Completion)
	}
	r, _ := x.router.records.Get().(*record.Record)
	if r == nil {
		r = new(record.Record)
	}
	defer x.router.records.Put(r)
	*r = record.Record{
		ID: text(x.id), Start: x.start, Took: took, First: x.first, Held: x.held, Method: x.call.method, Path: x.address.Path,
		Kind: kindNames[x.kind], Client: x.call.remote, Model: x.model, Status: x.status, Code: x.code,
		Stream: x.answer.events, Aborted: x.aborted, Repeated: x.repeated, Retries: x.retries, In: x.in64, Out: x.out64,
		Usage: record.Usage{Prompt: u.Prompt, Completion: u.Completion, Cached: u.Cached, Estimated: !u.Known},
		Fault: string(x.fault), Err: x.err, Trace: x.trace,
	}
	if x.route != nil {
		r.Route = x.route.ID()
	}
	key := usage.Key{Model: x.model}
	if t := x.who.token; t != nil {
		r.TokenID, r.TokenName, key.Token = t.ID, t.Name, t.ID
	}
	if s != nil {
		r.ServiceID, r.Service, r.Project = s.ID, s.Name, s.Project
		key.Project, key.ServiceID, key.Service = s.Project, s.ID, s.Name
		if o.Usage != nil && !x.repeated {
			o.Usage.Add(&key, &usage.Sample{
				At: x.now, Status: x.status, Aborted: x.aborted, Cut: x.fault == faultCut,
				Prompt: u.Prompt, Completion: u.Completion, Cached: u.Cached, Estimated: !u.Known, First: x.first, Took: took,
			})
		}
		var live *record.LiveRoute
		if x.route != nil {
			live = x.route.figures.Load()
		}
		s.figures.End(live, r)
		if u.Prompt+u.Completion > 0 && !s.metrics.gone.Load() {
			s.metrics.prompt.Add(float64(u.Prompt))
			s.metrics.cached.Add(float64(u.Cached))
			s.metrics.completion.Add(float64(u.Completion))
		}
	}
	x.capture.End(r)
	if o.Log != nil {
		o.Log.Write(r)
	}
	if o.Demand != nil {
		o.Demand.Write(r)
	}
	if o.Spans != nil && x.trace.Sampled {
		o.Spans.Write(r)
	}
}
