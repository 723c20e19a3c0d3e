package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/waiting"
)

// message is what is said of the tests' service, both ways.
type message = wrapperspb.StringValue

// talker is a gRPC engine: Say answers once, List many times, Sum once for many, Talk each with one.
type talker struct {
	name    string
	addr    string
	server  *grpc.Server
	calls   atomic.Int32
	seen    chan metadata.MD // of Say, if there is room
	gone    chan error       // why a call of List ended early
	release chan struct{}    // ends List "wait"
}

func newTalker(t *testing.T, name string, options ...grpc.ServerOption) *talker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &talker{
		name: name, addr: l.Addr().String(), server: grpc.NewServer(options...),
		seen: make(chan metadata.MD, 16), gone: make(chan error, 16), release: make(chan struct{}),
	}
	e.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Talker", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: e.say}},
		Streams: []grpc.StreamDesc{
			{StreamName: "List", Handler: e.list, ServerStreams: true},
			{StreamName: "Sum", Handler: e.sum, ClientStreams: true},
			{StreamName: "Talk", Handler: e.talk, ServerStreams: true, ClientStreams: true},
		},
	}, e)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(l) }()
	t.Cleanup(func() {
		e.server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return e
}

func (e *talker) say(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // grpc's order
	e.calls.Add(1)
	var in message
	if err := decode(&in); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	select {
	case e.seen <- md:
	default:
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("engine", e.name, "raw-bin", "\x00\xff")); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, metadata.Pairs("cost", "7")); err != nil {
		return nil, err
	}
	switch in.Value {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "not today: 100 % \u00fc")
	case "wait":
		<-ctx.Done()
		e.gone <- ctx.Err()
		return nil, ctx.Err()
	}
	return wrapperspb.String(e.name + " says " + in.Value), nil
}

func (e *talker) list(_ any, s grpc.ServerStream) error {
	e.calls.Add(1)
	var in message
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for i := range 3 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprintf("%s %d", in.Value, i))); err != nil {
			return err
		}
	}
	if in.Value == "wait" {
		select {
		case <-s.Context().Done():
			e.gone <- s.Context().Err()
			return s.Context().Err()
		case <-e.release:
		}
	}
	s.SetTrailer(metadata.Pairs("cost", "9"))
	return nil
}

func (e *talker) sum(_ any, s grpc.ServerStream) error {
	e.calls.Add(1)
	n := 0
	for {
		var in message
		err := s.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.String(fmt.Sprint(n)))
		}
		if err != nil {
			return err
		}
		if in.Value == "enough" { // an answer before the client has ended
			return s.SendMsg(wrapperspb.String("enough"))
		}
		n += len(in.Value)
	}
}

func (e *talker) talk(_ any, s grpc.ServerStream) error {
	e.calls.Add(1)
	for {
		var in message
		if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			e.gone <- err
			return err
		}
		if err := s.SendMsg(wrapperspb.String("you said " + in.Value)); err != nil {
			return err
		}
	}
}

// bothFront is a front of HTTP/1.1 and HTTP/2: plain, where secure is nil.
func bothFront(t *testing.T, r *Router, secure *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	server := &http.Server{Handler: r, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	gate := NewGate(r.config, server, slog.New(slog.DiscardHandler))
	gate.Open(r)
	served := make(chan error, 1)
	go func() { served <- gate.Serve(l) }()
	t.Cleanup(func() {
		if err := gate.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return addr
}

// dialGRPC is a client of the front at addr; it tries nothing twice.
func dialGRPC(t *testing.T, addr string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry()}, options...)
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as adds the token and the model to a call.
func as(ctx context.Context, secret, model string) context.Context {
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	}
	if model != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-palisade-model", model)
	}
	return ctx
}

func sayGRPC(ctx context.Context, conn *grpc.ClientConn, method, what string, options ...grpc.CallOption) (string, error) {
	var out message
	err := conn.Invoke(ctx, method, wrapperspb.String(what), &out, options...)
	return out.Value, err
}

var (
	listDesc = &grpc.StreamDesc{StreamName: "List", ServerStreams: true}
	sumDesc  = &grpc.StreamDesc{StreamName: "Sum", ClientStreams: true}
	talkDesc = &grpc.StreamDesc{StreamName: "Talk", ServerStreams: true, ClientStreams: true}
)

func openGRPC(ctx context.Context, t *testing.T, conn *grpc.ClientConn, d *grpc.StreamDesc, first string) grpc.ClientStream {
	t.Helper()
	s, err := conn.NewStream(ctx, d, "/test.Talker/"+d.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	if first != "" {
		if err := s.SendMsg(wrapperspb.String(first)); err != nil {
			t.Fatal(err)
		}
		if !d.ClientStreams {
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func hear(t *testing.T, s grpc.ClientStream, want string) {
	t.Helper()
	var out message
	if err := s.RecvMsg(&out); err != nil || out.Value != want {
		t.Fatalf("heard %q, %v; want %q", out.Value, err, want)
	}
}

const say = "/test.Talker/Say"

// Every sort of call, over HTTP/2 without and with TLS: messages, metadata, trailers and statuses as the engine
// gives them.
func TestGRPCCalls(t *testing.T) {
	e := newTalker(t, "a")
	g := newRig(t, Config{Domain: "example.org"}, hello(e.addr))
	certificates := httptest.NewUnstartedServer(nil) // has a certificate
	certificates.StartTLS()
	defer certificates.Close()
	secure := &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	for _, c := range []struct {
		name string
		conn *grpc.ClientConn
	}{
		{"plain", dialGRPC(t, bothFront(t, g.Router, nil))},
		{"TLS", dialGRPC(t, bothFront(t, g.Router, secure), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := as(t.Context(), g.secret, "hello")
			var header, trailer metadata.MD
			<-drained(e.seen)
			got, err := sayGRPC(metadata.AppendToOutgoingContext(ctx, "mine", "1", "mine", "2", "raw-bin", "\x01\x02", "x-request-id", "abc"), c.conn, say, "hi", grpc.Header(&header), grpc.Trailer(&trailer))
			if err != nil || got != "a says hi" || header.Get("engine")[0] != "a" || header.Get("raw-bin")[0] != "\x00\xff" || trailer.Get("cost")[0] != "7" || header.Get("x-request-id")[0] != "abc" {
				t.Fatalf("%q %v %v %v", got, err, header, trailer)
			}
			md := <-e.seen
			if fmt.Sprint(md.Get("mine")) != "[1 2]" || md.Get("raw-bin")[0] != "\x01\x02" || len(md.Get("authorization")) != 0 || md.Get("x-request-id")[0] != "abc" ||
				md.Get("x-forwarded-for")[0] != "127.0.0.1" || !strings.HasPrefix(md.Get("user-agent")[0], "grpc-go") || md.Get("content-type")[0] != "application/grpc" {
				t.Errorf("the engine got %v", md)
			}

			_, err = sayGRPC(ctx, c.conn, say, "fail", grpc.Trailer(&trailer))
			if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "not today: 100 % \u00fc" || trailer.Get("cost")[0] != "7" {
				t.Errorf("%v %v", err, trailer)
			}

			large := strings.Repeat("x", 3<<20) // more than is kept, and than windows take
			if got, err = sayGRPC(ctx, c.conn, say, large); err != nil || got != "a says "+large {
				t.Errorf("%d bytes, %v", len(got), err)
			}

			s := openGRPC(ctx, t, c.conn, listDesc, "n")
			for i := range 3 {
				hear(t, s, fmt.Sprintf("n %d", i))
			}
			if err := s.RecvMsg(&message{}); !errors.Is(err, io.EOF) || s.Trailer().Get("cost")[0] != "9" {
				t.Errorf("%v %v", err, s.Trailer())
			}

			s = openGRPC(ctx, t, c.conn, sumDesc, "")
			for range 1000 {
				if err := s.SendMsg(wrapperspb.String(large[:1000])); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			hear(t, s, "1000000")
			s = openGRPC(ctx, t, c.conn, sumDesc, "enough")
			hear(t, s, "enough")

			s = openGRPC(ctx, t, c.conn, talkDesc, "")
			for i := range 100 {
				if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				hear(t, s, fmt.Sprintf("you said %d", i))
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(&message{}); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	g.idle()
	if n := g.metric("palisade_router_requests_total", "service", "hello", "kind", "grpc", "code", "2xx"); n != 12 {
		t.Errorf("%v calls counted as answered", n)
	}
	if n := g.metric("palisade_router_requests_total", "service", "hello", "kind", "grpc", "code", "4xx"); n != 2 {
		t.Errorf("%v calls counted as the client's fault", n)
	}
}

// The ways to say which service is meant.
func TestGRPCAddresses(t *testing.T) {
	e := newTalker(t, "a")
	s := hello(e.addr)
	open := Service{ID: "open", Name: "open", Project: "q", Public: true, Routes: []Route{{ID: "o1", Addr: e.addr, Weight: 1}}}
	g := newRig(t, Config{Domain: "example.org"}, s, open)
	_, narrow := issue(t, g.tokens, IssueRequest{Project: "p", ServiceID: "svc"})
	addr := bothFront(t, g.Router, nil)
	for _, c := range []struct {
		name, authority, method, secret, model string
		code                                   codes.Code
	}{
		{"metadata", "box", say, g.secret, "hello", codes.OK},
		{"one service's token", "box", say, narrow, "", codes.OK},
		{"prefix", "box", "/services/hello" + say, g.secret, "", codes.OK},
		{"host", "hello.example.org", say, g.secret, "", codes.OK},
		{"open to all", "open.example.org", say, "", "", codes.OK},
		{"open to all, by metadata", "box", say, "", "open", codes.OK},
		{"nothing", "box", say, g.secret, "", codes.InvalidArgument},
		{"no token", "hello.example.org", say, "", "", codes.Unauthenticated},
		{"wrong token", "box", say, newSecret(), "hello", codes.Unauthenticated},
		{"unknown", "box", say, g.secret, "nope", codes.NotFound},
		{"another's", "other.example.org", say, g.secret, "", codes.NotFound},
		{"open to all, with a token for another", "box", say, narrow, "open", codes.OK},
		{"unknown method", "hello.example.org", "/test.Talker/Nope", g.secret, "", codes.Unimplemented},
		{"climbing", "hello.example.org", "/test.Talker/../Say", g.secret, "", codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialGRPC(t, addr, grpc.WithAuthority(c.authority))
			var trailer metadata.MD
			got, err := sayGRPC(as(t.Context(), c.secret, c.model), conn, c.method, "hi", grpc.Trailer(&trailer))
			if status.Code(err) != c.code || c.code == codes.OK && got != "a says hi" {
				t.Errorf("%q %v %v", got, err, trailer)
			}
			if c.code != codes.OK && c.code != codes.Unimplemented && (status.Convert(err).Message() == "" || len(trailer.Get("x-palisade-error")) != 1) {
				t.Errorf("%v says nothing: %v", err, trailer)
			}
		})
	}
}

func TestGRPCLimits(t *testing.T) {
	e := newTalker(t, "a")
	s := hello(e.addr)
	s.Traffic.Balance.Limit = 1
	g := newRig(t, Config{}, s, Service{ID: "none", Name: "none", Project: "p", Status: "UNHEALTHY"})
	conn := dialGRPC(t, bothFront(t, g.Router, nil))
	refused := func(ctx context.Context, code codes.Code, pushback bool) {
		t.Helper()
		var trailer metadata.MD
		_, err := sayGRPC(ctx, conn, say, "hi", grpc.Trailer(&trailer))
		if status.Code(err) != code || (len(trailer.Get("grpc-retry-pushback-ms")) == 1) != pushback {
			t.Errorf("%v %v, want %v", err, trailer, code)
		}
	}
	refused(as(t.Context(), g.secret, "none"), codes.Unavailable, true)

	// All routes are busy.
	ctx, cancel := context.WithCancel(as(t.Context(), g.secret, "hello"))
	busy := openGRPC(ctx, t, conn, listDesc, "wait")
	for i := range 3 {
		hear(t, busy, fmt.Sprintf("wait %d", i))
	}
	refused(as(t.Context(), g.secret, "hello"), codes.Unavailable, true)

	// A call that is held is let through when the route is free.
	s.Traffic.Hold = waiting.Settings{Most: 10, Timeout: time.Minute}
	g.SetServices([]Service{s})
	held := make(chan error, 1)
	go func() {
		_, err := sayGRPC(as(t.Context(), g.secret, "hello"), conn, say, "hi")
		held <- err
	}()
	g.awaitWaiting(1)
	cancel()
	if err := <-e.gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the engine's call ended with %v", err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
	g.idle()

	_, limited := issue(t, g.tokens, IssueRequest{Project: "p", Limits: quota.Limits{RequestsPerMinute: 2}})
	ctx = as(t.Context(), limited, "hello")
	var header metadata.MD
	if _, err := sayGRPC(ctx, conn, say, "hi", grpc.Header(&header)); err != nil || len(header.Get("x-ratelimit-remaining-requests")) != 1 {
		t.Errorf("%v %v", err, header)
	}
	if _, err := sayGRPC(ctx, conn, say, "hi"); err != nil {
		t.Error(err)
	}
	refused(ctx, codes.ResourceExhausted, true)
}

// Both ways: a client that goes ends the engine's call, a deadline is told to it, an engine that dies ends the
// client's call with a status that is no good end.
func TestGRPCEnds(t *testing.T) {
	e := newTalker(t, "a")
	g := newRig(t, Config{}, hello(e.addr))
	conn := dialGRPC(t, bothFront(t, g.Router, nil))
	all := as(t.Context(), g.secret, "hello")

	ctx, cancel := context.WithCancel(all)
	s := openGRPC(ctx, t, conn, listDesc, "wait")
	for i := range 3 { // or the engine's call ends while it says something
		hear(t, s, fmt.Sprintf("wait %d", i))
	}
	cancel()
	if err := <-e.gone; !errors.Is(err, context.Canceled) {
		t.Errorf("List: the engine's call ended with %v", err)
	}
	ctx, cancel = context.WithCancel(all)
	s = openGRPC(ctx, t, conn, talkDesc, "x")
	hear(t, s, "you said x")
	cancel()
	if err := <-e.gone; status.Code(err) != codes.Canceled {
		t.Errorf("Talk: the engine's call ended with %v", err)
	}

	<-drained(e.seen)
	ctx, cancel = context.WithTimeout(all, 300*time.Millisecond)
	defer cancel()
	if _, err := sayGRPC(ctx, conn, say, "wait"); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	if md := <-e.seen; len(md) == 0 {
		t.Error("no metadata")
	}
	if err := <-e.gone; err == nil {
		t.Error("the engine's call has not ended")
	}
	g.idle()
	if n := g.metric("palisade_router_upstream_errors_total", "service", "hello"); n != 0 {
		t.Errorf("%v faults of routes", n) // clients went, and a deadline was over: who noticed that first is open
	}

	s = openGRPC(all, t, conn, listDesc, "wait")
	hear(t, s, "wait 0")
	e.server.Stop()
	var err error
	for err == nil {
		err = s.RecvMsg(&message{})
	}
	if st := status.Convert(err); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), `The engine of "hello" ended in the middle`) {
		t.Errorf("the call ended with %v", err)
	}
	if _, err := sayGRPC(all, conn, say, "hi"); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	g.idle()
}

func drained[T any](c chan T) <-chan struct{} {
	done := make(chan struct{})
	for {
		select {
		case <-c:
		default:
			close(done)
			return done
		}
	}
}

// Nothing was sent to a route that is away: another one takes the call. Where something was, none does.
func TestGRPCRetries(t *testing.T) {
	e := newTalker(t, "a")
	g := newRig(t, Config{}, hello(nowhere(t), e.addr))
	conn := dialGRPC(t, bothFront(t, g.Router, nil))
	ctx := as(t.Context(), g.secret, "hello")
	for range 4 {
		if got, err := sayGRPC(ctx, conn, say, "hi"); err != nil || got != "a says hi" {
			t.Errorf("%q %v", got, err)
		}
	}
	if n := g.metric("palisade_router_retries_total", "service", "hello", "reason", "connect"); n == 0 {
		t.Error("nothing was tried again")
	}

	// An engine that takes calls and ends.
	var taken atomic.Int32
	ends := listener(t, func(c net.Conn) {
		taken.Add(1)
		_, _ = io.ReadFull(c, make([]byte, 200)) // preface, settings, and a head
	})
	before := e.calls.Load()
	g.SetServices([]Service{{ID: "svc", Name: "hello", Project: "p", Routes: []Route{{ID: "r9", Addr: ends, Weight: 1}, {ID: "r2", Addr: e.addr, Weight: 1e-9}}}})
	if _, err := sayGRPC(ctx, conn, say, "hi"); status.Code(err) != codes.Unavailable || taken.Load() != 1 || e.calls.Load() != before {
		t.Errorf("%v; %d, %d calls", err, taken.Load(), e.calls.Load()-before)
	}
}

// listener serves connections with f.
func listener(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// An engine that ends in good order says which calls it has not looked at. They go to the next one, whole.
func TestGRPCOverRestarts(t *testing.T) {
	a, b := newTalker(t, "a"), newTalker(t, "b")
	g := newRig(t, Config{}, hello(a.addr, b.addr))
	conn := dialGRPC(t, bothFront(t, g.Router, nil))
	ctx := as(t.Context(), g.secret, "hello")
	stop := make(chan struct{})
	failed := make(chan error, 100)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				if _, err := sayGRPC(ctx, conn, say, "hi"); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	until := func(calls *atomic.Int32, most int32) {
		for calls.Load() < most {
			select {
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	until(&a.calls, 30)
	a.server.GracefulStop()
	until(&b.calls, b.calls.Load()+60)
	close(stop)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestGRPCToOtherEngines(t *testing.T) {
	g := newRig(t, Config{}, hello(listener(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, 200)); err == nil { // preface, settings, and a head
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}
		_, _ = io.Copy(io.Discard, c)
	})))
	conn := dialGRPC(t, bothFront(t, g.Router, nil))
	_, err := sayGRPC(as(t.Context(), g.secret, "hello"), conn, say, "hi")
	if s := status.Convert(err); s.Code() != codes.Unimplemented || !strings.Contains(s.Message(), "does not speak gRPC") {
		t.Error(err)
	}
	if s := g.Snapshot()[0]; s.Routes[0].Avoided {
		t.Error("the route is taken for a bad one")
	}
}

// What was read of a call is given again from its start for as long as it is kept, and never more than that is
// held.
func TestUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := io.Pipe()
		u := newUpload(from, func() {})
		first := u.open()
		go func() { _, _ = to.Write([]byte("abc")) }()
		b := make([]byte, 2)
		if n, err := io.ReadFull(first, b); err != nil || string(b[:n]) != "ab" {
			t.Fatal(n, err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(first)
			waiting <- err
		}()
		synctest.Wait()
		second := u.open() // whoever waited gets nothing any more
		if err := <-waiting; !errors.Is(err, errUploadGone) {
			t.Error(err)
		}
		b = make([]byte, 3)
		if n, err := io.ReadFull(second, b); err != nil || string(b[:n]) != "abc" || !u.replayable() {
			t.Fatal(n, err)
		}
		wrote := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range 100 {
				n, err := to.Write(make([]byte, 4<<10))
				if wrote += n; err != nil {
					return
				}
			}
			_ = to.CloseWithError(io.EOF)
		}()
		synctest.Wait()
		if wrote > 2*uploadRoom {
			t.Errorf("%d bytes were read ahead", wrote)
		}
		rest, err := io.ReadAll(second)
		if <-ended; err != nil || len(rest) != 400<<10 || u.replayable() {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
		if _, err := u.open().Read(b); !errors.Is(err, errUploadGone) {
			t.Error(err)
		}
		u.close()
	})
}
