package router

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/http1"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/scan"
)

// exchange is one request on its way, from its arrival to the end of its answer. It may be used again.
type exchange struct {
	router  *Router
	client  client
	call    call
	start   time.Time
	now     time.Time // when it was looked at last: often enough for what needs no better
	table   *table    // one for the whole exchange
	id      []byte
	address Address
	shape   shape
	kind    kind
	who     visitor

	service *service      // nil until admitted
	model   string        // as the client named it: the service's name, or an alias
	scan    *scan.Request // what the body says; nil: nobody looked, or not at all of it
	read    bool          // all of the body was looked at
	route   *route        // taken, and to be given back; nil for none
	ask     balance.Ask
	payers  quota.Payers
	grant   quota.Grant
	granted bool
	turn    *repeat.Turn
	capture *record.Capture
	trace   record.Trace
	used    scan.Answer
	counts  bool  // used is fed
	body    *body // nil until it is made ready
	whole   body
	memory  int64 // taken of Router.buffered

	out    *buffer // the request as it is sent
	answer answer

	status      int
	first       time.Duration // to the first bytes of a streamed answer; 0: none
	fault       fault         // "": none
	err         error         // behind fault
	aborted     bool          // the client went first
	code        string        // of the error that is our own
	held        time.Duration // that it waited for a route
	pauses      int           // that it made since no route took it
	told        time.Time     // when the client was last told that it waits
	repeated    bool          // answered from another's answer
	pinged      bool          // the client was told that it waits: a head went out
	sending     bool          // a goroutine of stream writes the request's body, or has said in sent how that ended
	sent        chan error
	conversing  *engineConn // to be closed, whatever happens; nil: it was, or is kept
	parted      bool        // a stream: resume passes on what is left of it
	retries     int
	out64, in64 int64 // bytes of the bodies

	kept      []byte // of the request, when its memory was given back
	asked     []byte // the body, with the question for usage
	triedRoom [maxRetries + 1]*balance.Route
	idBuffer  [32]byte // enough for our own
}

// begin makes x ready for a call.
func (x *exchange) begin(r *Router, c client, now time.Time) {
	fields, kept, asked := x.answer.res.Fields, x.kept, x.asked
	*x = exchange{} // alone on its line: made with values it would be made on the stack, where a stream keeps it for hours
	x.router, x.client, x.start, x.now, x.table = r, c, now, now, r.table.Load()
	x.kept, x.asked, x.answer.res.Fields = kept, asked[:0], fields
	x.ask.Tried = x.triedRoom[:0]
}

// run answers the call. Where the answer cannot be ended as it should, the client's connection is cut.
func (x *exchange) run() {
	x.id = requestID(x.idBuffer[:0], x.call.requestID)
	x.address = ParseAddress(x.router.config.Domain, x.call.host, x.call.path)
	x.shape, x.kind = shapeOf(x.address.Path), kindOf(x.address.Path)
	if x.call.grpc {
		x.addressGRPC()
	}
	defer func() {
		if !x.parted { // else resume does it
			x.done()
		}
	}()
	if refusal := x.serve(); refusal != nil {
		x.refuse(refusal)
	}
}

// serve answers, or gives the reason why not where nothing was answered yet.
//
//  1. The address is one of ours, and does not climb out of itself.
//  2. A browser that asks whether a page may send something is told so, but where the engine says that.
//  3. The lists of models are answered here.
//  4. By model: the body, or what stands for it, names it.
//  5. The visitor may use what was named, and has not used up what it may.
//  6. Somebody has asked the very same just before: the answer is there.
//  7. A route takes it.
func (x *exchange) serve() *Refusal {
	if refusal := x.check(); refusal != nil {
		return refusal
	}
	x.who = identify(x.router.tokens, x.call.authorization, x.call.apiKey, x.start)
	what := x.address.Name
	if x.who.token == nil && x.preflight() && !x.openToAll(what) {
		x.answerPreflight()
		return nil
	}
	if x.address.Kind == ByModel {
		if path := x.address.Path; !x.call.grpc && (path == "/v1/models" || strings.HasPrefix(path, "/v1/models/")) {
			return x.models(strings.TrimPrefix(strings.TrimPrefix(path, "/v1/models"), "/"))
		}
		// Nobody without a token makes the router read a body for nothing.
		if x.who.token == nil && !x.table.anyOpen {
			return unauthorized(x.who.err)
		}
		if x.short() {
			return errShort
		}
		var refusal *Refusal
		if what, refusal = x.readModel(); refusal != nil {
			return refusal
		}
	}
	s, refusal := x.admit(what)
	if refusal != nil {
		return refusal
	}
	if x.short() {
		return errShort
	}
	x.enter(s, what)
	if x.call.grpc {
		x.body = &x.whole // its messages are not looked at
	}
	if x.body == nil {
		if refusal := x.directBody(); refusal != nil {
			return refusal
		}
	}
	x.in64 = int64(len(x.body.prefix))
	x.capture.Body(x.body.prefix)
	if refusal := x.pay(); refusal != nil {
		return refusal
	}
	if c, ok := x.client.(*httpClient); ok && x.call.grpc {
		return x.forwardGRPC(c)
	}
	if done, refusal := x.repeat(); done || refusal != nil {
		return refusal
	}
	x.askUsage()
	return x.forward()
}

// short tells that the body is not all there: the call was to be refused whatever it says, and meanwhile, since
// tokens and services come and go, would not be.
func (x *exchange) short() bool {
	return x.call.whole != nil && int64(len(x.call.whole)) < x.call.length
}

var errShort = unavailable("try_again", "Who may do what has just changed. Try again.", time.Second)

// turnedAway tells whether steps 1 and 5 of serve refuse a call whatever its body says.
func (x *exchange) turnedAway() bool {
	x.address = ParseAddress(x.router.config.Domain, x.call.host, x.call.path)
	if x.check() != nil {
		return true
	}
	x.who = identify(x.router.tokens, x.call.authorization, x.call.apiKey, x.start)
	if x.address.Kind == ByModel {
		return x.who.token == nil && !x.table.anyOpen
	}
	_, refusal := x.admit(x.address.Name)
	return refusal != nil
}

// enter notes that the call is for s.
func (x *exchange) enter(s *service, what string) {
	x.service, x.model = s, s.Name
	if x.address.Kind == ByModel && what != s.Name {
		for _, alias := range s.Aliases {
			if alias == what {
				x.model = alias // the same text, in memory that stays
			}
		}
	}
	s.total.Add(1)
	s.flying.Add(1)
	s.figures.Begin()
	if tracing := x.router.observers.Tracing; tracing.On {
		x.trace = tracing.Begin([]byte(x.call.field("traceparent")))
	}
	x.keep()
}

// look makes ready what looks through the body.
func (x *exchange) look() {
	if x.scan == nil {
		x.scan, _ = x.router.scans.Get().(*scan.Request)
		if x.scan == nil {
			x.scan = new(scan.Request)
		}
		x.scan.Reset()
	}
}

// check looks at what is wrong with a call whoever makes it.
func (x *exchange) check() *Refusal {
	limit := x.router.config.BodyLimit
	switch {
	case x.address.Kind == NotOurs, x.address.Kind == ByName && x.address.Name == "":
		return &Refusal{Status: http.StatusNotFound, Type: invalidRequest, Code: "unknown_url", Message: "Nothing is served at this address. Models answer at /v1/, services at /services/NAME/."}
	case x.address.Kind == ByModel && strings.HasPrefix(x.address.Path, "/v1/v1/"):
		return &Refusal{
			Status: http.StatusNotFound, Type: invalidRequest, Code: "unknown_url",
			Message: "The address has /v1 twice: this client adds it to its base URL by itself, so leave it out there.",
		}
	case x.call.method == http.MethodConnect:
		return methodNotAllowed("CONNECT is not for this address.")
	case climbs(x.address.Path):
		return badRequest("", "invalid_path", "The path has dot segments or broken escapes.")
	case !http1.Token(x.call.method):
		return badRequest("", "invalid_method", "The method has a character that no method has.")
	case !visible(x.address.Path) || !visible(x.call.query):
		// HTTP/2 can say it; in HTTP/1.1 the engine would read another request line than was checked here.
		return badRequest("", "invalid_path", "The address has a space in it, or what is no plain character. Write it as %20.")
	case limit > 0 && x.call.length > limit:
		return tooLargeBody(limit)
	}
	return nil
}

// visible tells whether all of an address are characters that can stand in a request line.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// admit finds what the visitor may use. A call that names no model is for the one service of its token.
func (x *exchange) admit(what string) (*service, *Refusal) {
	if what == "" && x.address.Kind == ByModel && x.who.token != nil {
		for _, s := range x.table.services {
			if s.ID == x.who.token.ServiceID {
				return s, nil
			}
		}
	}
	s, refusal := admit(x.table.find(x.address, what), x.who, x.address, what)
	return s, naming(refusal, x.table, x.who, what)
}

func methodNotAllowed(message string) *Refusal {
	return &Refusal{Status: http.StatusMethodNotAllowed, Type: invalidRequest, Code: "method_not_allowed", Message: message}
}

// readModel gives the model that a call names and makes ready its body. "" is a call that may go
// without, by a token for one service.
func (x *exchange) readModel() (string, *Refusal) {
	if x.call.grpc {
		return x.modelGRPC()
	}
	var query url.Values
	if strings.Contains(x.call.query, "model") {
		query, _ = url.ParseQuery(x.call.query) // what of it can be read counts
	}
	from := modelSource(x.call.contentType, x.call.contentEncoding, x.call.length != 0 && x.call.upgrade == "", query.Has("model"))
	if from == inJSON && x.call.whole != nil { // nearly all
		return x.lookThrough()
	}
	var model string
	var err error
	in := x.intake()
	switch from {
	case inQuery:
		if len(query["model"]) > 1 {
			return "", refuseBody(scan.ErrModelConflict, 0)
		}
		model = query.Get("model")
		if reads := x.call.method != http.MethodPost && x.call.method != http.MethodPut; model == "" && !(reads && x.bound()) {
			return "", refuseBody(scan.ErrNoModel, 0)
		}
		return model, nil
	case inNothing:
		return "", &Refusal{
			Status: http.StatusUnsupportedMediaType, Type: invalidRequest, Code: "unsupported_encoding",
			Message: "A compressed body cannot be searched for its model. Send it plain, or use the service's own address, /services/NAME/.",
		}
	case inForm:
		model, err = in.findForm(x.call.contentType)
	case inJSON:
		x.look()
		err = in.findJSON(x.scan)
		model = text(x.scan.Model())
	}
	if err == nil && model == "" {
		err = scan.ErrNoModel
	}
	if err == nil {
		x.body, err = in.finish(&x.whole)
	}
	if err != nil {
		return "", refuseBody(err, in.limit)
	}
	x.read = x.scan != nil && x.body.rest == nil
	return model, nil
}

// lookThrough finds the model in a JSON body that is there.
func (x *exchange) lookThrough() (string, *Refusal) {
	x.look()
	err := x.scan.Feed(x.call.whole)
	if err == nil {
		err = x.scan.End()
	}
	model := text(x.scan.Model())
	if err == nil && model == "" {
		err = scan.ErrNoModel
	}
	if err != nil {
		return "", refuseBody(err, replayLimit)
	}
	x.whole.prefix, x.whole.length = x.call.whole, x.call.length
	x.body, x.read = &x.whole, true
	return model, nil
}

// bound tells whether the visitor's token is for one service.
func (x *exchange) bound() bool { return x.who.token != nil && x.who.token.ServiceID != "" }

// intake begins to read the body.
func (x *exchange) intake() *intake {
	if x.call.whole != nil {
		return &intake{held: x.call.whole, length: x.call.length, limit: replayLimit + 1, untold: true, ended: true}
	}
	return &intake{
		from: x.client.body(x.router.config.BodySilence), length: x.call.length, limit: x.router.config.BufferLimit,
		grow: func(n int64) bool {
			x.memory += n
			return x.router.buffered.Add(n) <= x.router.config.BufferTotal
		},
	}
}

// directBody makes ready a body that is not looked into: small ones are read first, so that they can
// be sent again.
func (x *exchange) directBody() *Refusal {
	n := x.call.length
	switch {
	case n == 0 || x.call.upgrade != "":
		x.body = &x.whole
	case x.call.whole != nil:
		x.whole.prefix, x.whole.length = x.call.whole, n
		x.body = &x.whole
	case 0 < n && n <= replayLimit:
		in := x.intake()
		var err error
		if x.body, err = in.finish(&x.whole); err != nil {
			return refuseBody(err, in.limit)
		}
	default:
		x.client.duplex()
		x.body = &body{rest: x.client.body(minSilence), length: n}
	}
	return nil
}

// refuse answers with f.
func (x *exchange) refuse(f *Refusal) {
	x.status, x.code = f.Status, f.Code
	if x.pinged {
		x.apologize(f)
		return
	}
	if x.service == nil {
		x.router.metrics.refused.WithLabelValues(orElse(f.reason, f.Code)).Inc()
	}
	if f.Status == statusClientGone {
		x.aborted = true // and yet it may have closed its own side only
	}
	if x.call.grpc {
		x.refuseGRPC(f)
		return
	}
	if f.Status != http.StatusRequestTimeout { // there it was waited for already
		x.client.drop()
	}
	x.respond(f.Status, f.headers(), append(f.body(x.shape), '\n'))
}

// respond gives an answer of our own.
func (x *exchange) respond(status int, headers []header, b []byte) {
	c := x.client
	x.status = status
	c.status(status, nil)
	for _, h := range headers {
		c.header([]byte(h.name), []byte(h.value))
		x.capture.AnswerField(h.name, h.value)
	}
	x.capture.AnswerBody(b)
	// Why nobody was let in is no secret. What is said of a service that is: its engine's last words may be in it.
	if x.opensPages() || status >= 400 && x.service == nil && x.call.field("origin") != "" {
		x.openPage()
	}
	x.limitHeaders()
	c.header(nameRequestID, x.id)
	bodiless := x.call.method == http.MethodHead
	c.begin(int64(len(b)), bodiless)
	if !bodiless {
		x.out64 = int64(len(b))
		if c.write(b, false) != nil {
			return // a client that is gone needs no answer
		}
	}
	_ = c.end(nil) // as above
}
