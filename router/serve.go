package router

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// exchange is one request on its way, from its arrival to the end of its answer.
type exchange struct {
	router  *Router
	w       http.ResponseWriter
	req     *http.Request
	start   time.Time
	table   *table // one for the whole exchange
	id      string
	address Address
	shape   shape
	kind    kind
	who     visitor

	service *service // nil until admitted
	slot    *slot    // the one held; nil for none
	body    *body
	memory  int64 // taken of Router.buffered

	status  int
	bounded time.Time     // when the bound of writes to the client was set
	first   time.Duration // to the first bytes of a streamed answer; 0: none
	fault   fault         // "": none
	err     error         // behind fault
	aborted bool          // the client went first
	retries int
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler where an answer cannot be ended
// as it should, so that the client sees a broken connection and not a short answer.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := req.URL.RawPath // what the client wrote, where that is not the plain way to write it
	if path == "" {
		path = req.URL.EscapedPath()
	}
	x := &exchange{
		router: r, w: w, req: req, start: time.Now(), table: r.table.Load(),
		id: requestID(req.Header.Get("X-Request-Id")), address: ParseAddress(r.config.Domain, req.Host, path),
	}
	x.shape, x.kind = shapeOf(x.address.Path), kindOf(x.address.Path)
	w.Header().Set("X-Request-Id", x.id)
	defer x.done()
	if refusal := x.serve(); refusal != nil {
		x.refuse(refusal)
	}
}

// serve answers, or gives the reason why not where nothing was answered yet.
//
//  1. The address is one of ours, and does not climb out of itself.
//  2. The lists of models are answered here.
//  3. By model: the body, or what stands for it, names it.
//  4. The visitor may use what was named.
//  5. A route takes it.
func (x *exchange) serve() *Refusal {
	r, req := x.router, x.req
	switch {
	case x.address.Kind == NotOurs:
		return &Refusal{Status: http.StatusNotFound, Type: invalidRequest, Code: "unknown_url", Message: "Nothing is served at this address. Models answer at /v1/, services at /services/NAME/."}
	case req.Method == http.MethodConnect:
		return methodNotAllowed("CONNECT is not for this address.")
	case climbs(x.address.Path):
		return badRequest("", "invalid_path", "The path has dot segments or broken escapes.")
	case strings.Contains(x.address.Path, " ") || strings.Contains(req.URL.RawQuery, " "):
		// HTTP/2 can say it; in HTTP/1.1 the engine would read another request line than was checked here.
		return badRequest("", "invalid_path", "The address has a space in it. Write it as %20.")
	case r.config.BodyLimit > 0 && req.ContentLength > r.config.BodyLimit:
		return tooLargeBody(r.config.BodyLimit)
	}
	x.who = identify(r.tokens, req.Header.Get("Authorization"), req.Header.Get("X-Api-Key"))
	what := x.address.Name
	if x.address.Kind == ByModel {
		if path := x.address.Path; path == "/v1/models" || strings.HasPrefix(path, "/v1/models/") {
			return x.models(strings.TrimPrefix(strings.TrimPrefix(path, "/v1/models"), "/"))
		}
		// Nobody without a token makes the router read a body for nothing.
		if x.who.token == nil && !x.table.anyOpen {
			return unauthorized(x.who.err)
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
	x.service = s
	s.total.Add(1)
	s.flying.Add(1)
	if x.body == nil {
		if refusal := x.directBody(); refusal != nil {
			return refusal
		}
	}
	return x.forward()
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
	return admit(x.table.find(x.address, what), x.who, x.address, what)
}

func methodNotAllowed(message string) *Refusal {
	return &Refusal{Status: http.StatusMethodNotAllowed, Type: invalidRequest, Code: "method_not_allowed", Message: message}
}

// source is where a call by model names it.
type source int

const (
	inQuery source = iota
	inJSON
	inForm
	inNothing // compressed: nowhere that can be read
)

// modelSource tells where to look, from what the headers say.
func modelSource(contentType, contentEncoding string, hasBody, inURL bool) source {
	if !hasBody {
		return inQuery
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(strings.Split(contentType, ";")[0]))
	}
	isJSON := media == "" || media == "application/json" || strings.HasSuffix(media, "+json")
	switch {
	case inURL && (!isJSON || contentEncoding != ""):
		return inQuery
	case contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity"):
		return inNothing
	case media == "multipart/form-data":
		return inForm
	}
	return inJSON // whatever it calls itself: many clients say nothing, or text/plain
}

// readModel gives the model that a call names and makes ready its body. "" is a call that may go
// without, by a token for one service.
func (x *exchange) readModel() (string, *Refusal) {
	req := x.req
	query := url.Values{}
	if strings.Contains(req.URL.RawQuery, "model") {
		query = req.URL.Query()
	}
	upgrade := upgradeOf(req.Header) != ""
	in := x.intake()
	var model string
	var err error
	switch modelSource(req.Header.Get("Content-Type"), req.Header.Get("Content-Encoding"), req.ContentLength != 0 && !upgrade, query.Has("model")) {
	case inQuery:
		if len(query["model"]) > 1 {
			return "", refuseBody(errModelConflict, 0)
		}
		model = query.Get("model")
		if reads := req.Method != http.MethodPost && req.Method != http.MethodPut; model == "" && !(reads && x.bound()) {
			return "", refuseBody(errNoModel, 0)
		}
		return model, nil
	case inNothing:
		return "", &Refusal{
			Status: http.StatusUnsupportedMediaType, Type: invalidRequest, Code: "unsupported_encoding",
			Message: "A compressed body cannot be searched for its model. Send it plain, or use the service's own address, /services/NAME/.",
		}
	case inForm:
		model, err = in.findForm(req.Header.Get("Content-Type"))
	case inJSON:
		model, err = in.findJSON()
	}
	if err == nil && model == "" {
		err = errNoModel
	}
	if err == nil {
		x.body, err = in.finish()
	}
	if err != nil {
		return "", refuseBody(err, in.limit)
	}
	return model, nil
}

// bound tells whether the visitor's token is for one service.
func (x *exchange) bound() bool { return x.who.token != nil && x.who.token.ServiceID != "" }

// intake begins to read the body.
func (x *exchange) intake() *intake {
	return &intake{
		from: x.reader(x.router.config.BodySilence), length: x.req.ContentLength, limit: x.router.config.BufferLimit,
		grow: func(n int64) bool {
			x.memory += n
			return x.router.buffered.Add(n) <= x.router.config.BufferTotal
		},
	}
}

// reader is the request's body within its bounds.
func (x *exchange) reader(wait time.Duration) io.Reader {
	from := x.req.Body
	if limit := x.router.config.BodyLimit; limit > 0 && x.req.ContentLength < 0 {
		from = http.MaxBytesReader(x.w, from, limit)
	}
	return patient{Reader: from, control: http.NewResponseController(x.w), wait: wait}
}

// directBody makes ready a body that is not looked into: small ones are read first, so that they can
// be sent again.
func (x *exchange) directBody() *Refusal {
	n := x.req.ContentLength
	switch {
	case n == 0 || upgradeOf(x.req.Header) != "":
		x.body = &body{}
	case 0 < n && n <= replayLimit:
		in := x.intake()
		var err error
		if x.body, err = in.finish(); err != nil {
			return refuseBody(err, in.limit)
		}
	default:
		// The answer may come while the body does.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
		x.body = &body{rest: x.reader(minSilence), length: n}
	}
	return nil
}

func (x *exchange) refuse(f *Refusal) {
	x.status = f.Status
	if x.service == nil {
		x.router.metrics.refused.WithLabelValues(orElse(f.reason, f.Code)).Inc()
	}
	if f.Status == statusClientGone {
		x.aborted = true
	}
	if x.req.Body != nil && x.req.Body != http.NoBody && f.Status != http.StatusRequestTimeout {
		// The server reads what is left of the body before the refusal goes out: not for long, and
		// not at all where that was waited for already.
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(min(refusedBody, x.router.config.BodySilence)))
	}
	f.write(x.w, x.shape)
}

const refusedBody = 5 * time.Second // for the rest of a body that nobody wants
