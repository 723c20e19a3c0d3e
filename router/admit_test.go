package router

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/scan"
)

func TestSecretOf(t *testing.T) {
	for _, c := range []struct {
		authorization, apiKey, want string
		err                         error
	}{
		{"Bearer x", "", "x", nil},
		{"bearer  x ", "", "x", nil},
		{"BackendAI x", "", "x", nil},
		{"", "x", "x", nil},
		{"Bearer a", "b", "a", nil},
		{"", "", "", ErrTokenMissing},
		{"Bearer", "", "", ErrTokenMissing},
		{"Bearer ", "", "", ErrTokenMissing},
		{"Basic dXNlcg==", "", "", ErrTokenMalformed},
		{"x", "", "", ErrTokenMalformed},
	} {
		got, err := secretOf(c.authorization, c.apiKey)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("secretOf(%q, %q) = %q, %v; want %q, %v", c.authorization, c.apiKey, got, err, c.want, c.err)
		}
	}
}

func testTable(services ...Service) *table {
	var rows []*service
	for _, s := range services {
		rows = append(rows, &service{Service: s})
	}
	t, _ := newTable(rows)
	return t
}

func TestTable(t *testing.T) {
	rows := []*service{
		{Service: Service{ID: "1", Name: "b", Aliases: []string{"llama", "b", "a"}}},
		{Service: Service{ID: "2", Name: "a", Aliases: []string{"llama", "llama", ""}}},
		{Service: Service{ID: "3", Name: "A"}},
		{Service: Service{ID: "4", Name: "a"}},
	}
	table, clashes := newTable(rows)
	if want := []string{"a", "a"}; !cmp.Equal(clashes, want) { // as old as they are, "A" comes first
		t.Errorf("clashes %v, want %v", clashes, want)
	}
	for _, c := range []struct {
		address Address
		model   string
		want    string
	}{
		{Address{Kind: ByModel}, "llama", "21"},
		{Address{Kind: ByModel}, "a", "241"},
		{Address{Kind: ByModel}, "b", "1"},
		{Address{Kind: ByModel}, "", ""},
		{Address{Kind: ByName, Name: "a"}, "", "24"},
		{Address{Kind: ByName, Name: "A"}, "", "3"},
		{Address{Kind: ByName, Name: "llama"}, "", ""},
		{Address{Kind: ByHost, Name: "a"}, "", "324"},
		{Address{}, "a", ""},
	} {
		got := ""
		for _, s := range table.find(c.address, c.model) {
			got += s.ID
		}
		if got != c.want {
			t.Errorf("%+v %q: %s, want %s", c.address, c.model, got, c.want)
		}
	}
}

func TestAdmit(t *testing.T) {
	table := testTable(
		Service{ID: "s1", Name: "one", Project: "p", Aliases: []string{"llama"}},
		Service{ID: "s2", Name: "two", Project: "p"},
		Service{ID: "s3", Name: "three", Project: "q", Aliases: []string{"llama"}},
		Service{ID: "s4", Name: "open", Project: "q", Public: true, Aliases: []string{"llama", "one"}},
	)
	of := func(project, service string) visitor {
		return visitor{token: &Token{Project: project, ServiceID: service}}
	}
	nobody := visitor{err: ErrTokenMissing}
	for _, c := range []struct {
		name, model string
		who         visitor
		want        string
		status      int
	}{
		{"token of the service", "one", of("p", "s1"), "s1", 0},
		{"token of the project", "two", of("p", ""), "s2", 0},
		{"token of another service of the project", "two", of("p", "s1"), "", 403},
		{"token of another project", "two", of("q", ""), "", 404},
		{"token of another project's service", "three", of("p", "s1"), "", 404},
		{"no such model", "four", of("p", ""), "", 404},
		{"no token", "two", nobody, "", 401},
		{"no token, no such model", "four", nobody, "", 401},
		{"bad token", "two", visitor{err: ErrTokenExpired}, "", 401},
		{"open to all", "open", nobody, "s4", 0},
		{"open to all, with a made-up key", "open", visitor{err: ErrTokenMalformed}, "s4", 0},
		{"open to all, with another's token", "open", of("p", ""), "s4", 0},
		{"an open service takes no calls of who has a token", "llama", of("p", ""), "s1", 0},
		{"nor by a name", "one", of("p", ""), "s1", 0},
		{"an alias of two", "llama", of("q", ""), "s4", 0},
		{"an alias, by the token", "llama", of("q", "s3"), "s3", 0},
		{"an alias, without one", "llama", nobody, "s4", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Address{Kind: ByModel}
			s, refusal := admit(table.find(a, c.model), c.who, a, c.model)
			switch {
			case c.status == 0 && (refusal != nil || s.ID != c.want):
				t.Errorf("got %v, %v; want %s", s, refusal, c.want)
			case c.status != 0 && (refusal == nil || refusal.Status != c.status):
				t.Errorf("got %v, %v; want %d", s, refusal, c.status)
			}
		})
	}
	// What is not there and what belongs to others cannot be told apart.
	for _, who := range []visitor{nobody, of("q", "s3")} {
		a := Address{Kind: ByModel}
		_, there := admit(table.find(a, "two"), who, a, "two")
		_, not := admit(nil, who, a, "two")
		if diff := cmp.Diff(there, not, cmp.AllowUnexported(Refusal{})); diff != "" {
			t.Errorf("it shows that it is there:\n%s", diff)
		}
	}
}

// Services of one name, in several projects, have each their own callers. The oldest has those without a token.
func TestServicesOfOneName(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	closed := Service{ID: "s2", Name: "chat", Project: "p", CreatedAt: day(1)}
	open := Service{ID: "s1", Name: "chat", Project: "q", CreatedAt: day(2), Public: true}
	other := Service{ID: "s0", Name: "Chat", Project: "r", CreatedAt: day(3), Public: true}
	project := func(name string) visitor { return visitor{token: &Token{Project: name}} }
	nobody := visitor{err: ErrTokenExpired}
	first := open
	first.CreatedAt = day(0)
	for _, c := range []struct {
		name     string
		services []Service
		who      visitor
		want     string // by model, name and host
		lists    string
	}{
		{"the older one's", []Service{open, closed}, project("p"), "s2 s2 s2", "s2"},
		{"the younger one's", []Service{open, closed}, project("q"), "s1 s1 s1", "s1"},
		{"of a token for it alone", []Service{open, closed}, visitor{token: &Token{ServiceID: "s1"}}, "s1 s1 s1", "s1"},
		{"somebody else's", []Service{open, closed}, project("x"), "404 404 404", ""},
		{"nobody's, and the older one is closed", []Service{open, closed}, nobody, "401 401 401", "401"},
		{"nobody's, and the older one is open", []Service{closed, first}, nobody, "s1 s1 s1", "401"}, // to who has a dead token nothing is listed
		{"of names that fold to one", []Service{open, closed, other}, project("r"), "s0 s0 s0", "s0"},
		{"nobody's, of names that fold to one", []Service{closed, other}, nobody, "401 401 401", "401"},
	} {
		table := testTable(c.services...)
		name := "chat"
		if c.want[:2] == "s0" {
			name = "Chat"
		}
		var got []string
		for _, a := range []Address{{Kind: ByModel}, {Kind: ByName, Name: name}, {Kind: ByHost, Name: "chat"}} {
			if s, refusal := admit(table.find(a, name), c.who, a, name); refusal != nil {
				got = append(got, strconv.Itoa(refusal.Status))
			} else {
				got = append(got, s.ID)
			}
		}
		lists := ""
		if list, refusal := listing(table, c.who); refusal != nil {
			lists = strconv.Itoa(refusal.Status)
		} else {
			for _, s := range list {
				lists += s.ID
			}
		}
		if strings.Join(got, " ") != c.want || c.lists != "" && lists != c.lists {
			t.Errorf("%s: %s, lists %s; want %s, %s", c.name, got, lists, c.want, c.lists)
		}
	}
}

func TestListing(t *testing.T) {
	closed := []Service{{ID: "s1", Name: "one", Project: "p"}, {ID: "s2", Name: "two", Project: "q"}}
	open := append(slices.Clone(closed), Service{ID: "s3", Name: "open", Project: "q", Public: true})
	for _, c := range []struct {
		name     string
		services []Service
		who      visitor
		want     string
	}{
		{"project", closed, visitor{token: &Token{Project: "p"}}, "one"},
		{"service, and what is open", open, visitor{token: &Token{ServiceID: "s2"}}, "open,two"},
		{"nobody", open, visitor{err: ErrTokenMissing}, "open"},
		{"made-up key", open, visitor{err: ErrTokenMalformed}, "open"},
		{"expired", open, visitor{err: ErrTokenExpired}, "401"},
		{"nobody, nothing open", closed, visitor{err: ErrTokenMissing}, "401"},
	} {
		services, refusal := listing(testTable(c.services...), c.who)
		var names []string
		for _, s := range services {
			names = append(names, s.Name)
		}
		if refusal != nil {
			names = append(names, "401")
		}
		if got := strings.Join(names, ","); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestUnauthorizedSaysWhy(t *testing.T) {
	seen := map[string]bool{}
	for _, err := range []error{ErrTokenMissing, ErrTokenMalformed, ErrTokenUnknown, ErrTokenExpired, ErrTokenRevoked} {
		f := unauthorized(err)
		if f.Status != 401 || seen[f.Message] {
			t.Errorf("%v: %d %s", err, f.Status, f.Message)
		}
		seen[f.Message] = true
	}
}

func TestRefusalShapes(t *testing.T) {
	f := &Refusal{Status: 401, Type: invalidRequest, Code: "c", Message: `say "x"`, RetryAfter: 1500 * time.Millisecond}
	for _, c := range []struct {
		path, want string
	}{
		{"/v1/chat/completions", `{"error":{"message":"say \"x\"","type":"invalid_request_error","param":null,"code":"c"}}`},
		{"/v1/messages", `{"type":"error","error":{"type":"authentication_error","message":"say \"x\""}}`},
		{"/v1/messages/count_tokens", `{"type":"error","error":{"type":"authentication_error","message":"say \"x\""}}`},
		{"/v1/messagesx", `{"error":{"message":"say \"x\"","type":"invalid_request_error","param":null,"code":"c"}}`},
	} {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, c.path, nil)
		x := &exchange{router: &Router{}, shape: shapeOf(c.path), service: &service{}, client: &httpClient{w: w, req: req, control: http.NewResponseController(w)}}
		x.refuse(f)
		if got := strings.TrimSpace(w.Body.String()); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
		if h := w.Header(); h.Get("Www-Authenticate") == "" || h.Get("Retry-After") != "2" || h.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", h)
		}
	}
	if got := string(f.event(anthropic)); !strings.HasPrefix(got, "\n\nevent: error\ndata: {") || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("event %q", got)
	}
}

func TestRefuseBodyIsJSON(t *testing.T) {
	for _, err := range []error{scan.ErrNotJSON, scan.ErrNotObject, scan.ErrCutOff, scan.ErrNoModel, errNoBody, scan.ErrModelNoText, scan.ErrModelConflict, errTooMuch, errNoMemory, errBadForm, scan.ErrTooDeep, scan.ErrModelTooLong, http.ErrBodyReadAfterClose, &http.MaxBytesError{Limit: 5}} {
		f := refuseBody(err, 10)
		var v struct {
			Error struct{ Message, Type, Code string }
		}
		if json.Unmarshal(f.body(openAI), &v) != nil || v.Error.Message == "" || v.Error.Code == "" || f.Status/100 != 4 && f.Status != 503 {
			t.Errorf("%v: %d %s", err, f.Status, f.body(openAI))
		}
	}
}

func TestModelSource(t *testing.T) {
	for _, c := range []struct {
		contentType, encoding string
		hasBody, inURL        bool
		want                  source
	}{
		{"application/json", "", true, false, inJSON},
		{"application/json; charset=utf-8", "", true, true, inJSON},
		{"application/vnd.x+json", "", true, true, inJSON},
		{"", "", true, true, inJSON},
		{"text/plain", "", true, false, inJSON},
		{"audio/wav", "", true, true, inQuery},
		{"application/json", "", false, false, inQuery},
		{"multipart/form-data; boundary=x", "", true, false, inForm},
		{"multipart/form-data", "", true, false, inForm},
		{"application/json", "identity", true, false, inJSON},
		{"application/json", "gzip", true, false, inNothing},
		{"application/json", "gzip", true, true, inQuery},
		{"application/json; =", "", true, false, inJSON},
	} {
		if got := modelSource(c.contentType, c.encoding, c.hasBody, c.inURL); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

// engineHeader is what an engine is sent of a call with the headers of from.
func engineHeader(t *testing.T, from http.Header, c call, s Service, config Config) http.Header {
	t.Helper()
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: from, Host: c.host, ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: net.JoinHostPort(c.remote, "1")}
	x := &exchange{router: &Router{config: config}, service: &service{Service: s}, body: &body{}, id: []byte("r1")}
	callOf(&x.call, req)
	x.call.secure = c.secure
	x.address = Address{Path: "/", Prefix: "/services/a"}
	head := x.appendHead(nil)
	if len(head) > x.headRoom() {
		t.Errorf("the head takes %d bytes, %d were thought enough", len(head), x.headRoom())
	}
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	return got.Header
}

func TestEngineHeader(t *testing.T) {
	from := http.Header{
		"Authorization": {"Bearer pal-x"}, "X-Api-Key": {"pal-x"}, "Connection": {"keep-alive, X-Secret", "upgrade"}, "X-Secret": {"1"},
		"Upgrade": {"websocket"}, "Keep-Alive": {"5"}, "Transfer-Encoding": {"chunked"}, "Te": {"gzip, trailers"}, "Expect": {"100-continue"},
		"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=x"}, "Traceparent": {"00-ab-cd-01"}, "X-Own": {"a", "b"},
	}
	in := call{remote: "10.0.0.9", host: "box:8080"}
	want := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Traceparent": {"00-ab-cd-01"}, "X-Own": {"a", "b"},
		"X-Forwarded-For": {"10.0.0.9"}, "X-Forwarded-Host": {"box:8080"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Prefix": {"/services/a"}, "X-Request-Id": {"r1"},
	}
	if diff := cmp.Diff(want, engineHeader(t, from, in, Service{}, Config{})); diff != "" {
		t.Error(diff)
	}
	in.secure = true
	got := engineHeader(t, from, in, Service{EngineKey: "k"}, Config{TrustForwarded: true})
	if got.Get("X-Forwarded-For") != "6.6.6.6, 10.0.0.9" || got.Get("Authorization") != "Bearer k" {
		t.Errorf("got %v", got)
	}
	for _, c := range []struct {
		authorization, apiKey string
		public, kept          bool
	}{
		{"Bearer pal-x", "", true, false},
		{"Bearer sk-x", "", true, true},
		{"Bearer sk-x", "", false, false},
		{"BackendAI sk-x", "", false, false},
		{"Basic x", "", false, true},
		{"", "sk-x", false, false},
		{"", "sk-x", true, true},
		{"", "pal-x", true, false},
	} {
		h := http.Header{}
		h.Set("Authorization", c.authorization)
		h.Set("X-Api-Key", c.apiKey)
		got := engineHeader(t, h, in, Service{Public: c.public}, Config{})
		if kept := got.Get("Authorization")+got.Get("X-Api-Key") != ""; kept != c.kept {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, id := range []string{"abc", "00-ab:c/d.e_f+g=", strings.Repeat("a", 128)} {
		if got := string(requestID(nil, id)); got != id {
			t.Errorf("%q became %q", id, got)
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", "a\nb", "ä", strings.Repeat("a", 129), "<script>"} {
		got := string(requestID(nil, id))
		if !strings.HasPrefix(got, "req-") || len(got) != 28 || seen[got] {
			t.Errorf("%q became %q", id, got)
		}
		seen[got] = true
	}
}

func TestNoRoute(t *testing.T) {
	for _, c := range []struct {
		s    Service
		want string
	}{
		{Service{Name: "a"}, `The service "a" has no route that can answer now. Try again in 5 s.`},
		{Service{Name: "a", Status: "PROVISIONING"}, `The service "a" is PROVISIONING and has no route that can answer now. Try again in 5 s.`},
		{Service{Name: "a", Routes: []Route{{Draining: true}, {}}}, `The service "a" has no route that can answer now (1 draining, 1 taken out of the balance). Try again in 5 s.`},
	} {
		if f := noRoute(c.s, 0); f.Message != c.want || f.Status != 503 || f.RetryAfter == 0 {
			t.Errorf("got %d %s, want %s", f.Status, f.Message, c.want)
		}
	}
}
