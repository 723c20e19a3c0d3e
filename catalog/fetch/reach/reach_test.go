package reach_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/palisade-run/palisade/catalog/fetch/reach"
)

func guard(t *testing.T, allow ...string) *reach.Guard {
	t.Helper()
	g, err := reach.New(allow)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// From which level on an address may be asked; All for those that only who names them by hand may ask.
func TestWhereAddressesAre(t *testing.T) {
	g := guard(t)
	for text, from := range map[string]reach.Level{
		"8.8.8.8": reach.World, "2606:4700::1111": reach.World, "172.32.0.1": reach.World, "11.0.0.1": reach.World, "::ffff:8.8.8.8": reach.World,
		"64:ff9b::808:808": reach.World,
		"10.0.0.1":         reach.LAN, "172.16.0.1": reach.LAN, "172.31.255.255": reach.LAN, "192.168.1.1": reach.LAN, "100.64.0.1": reach.LAN, "fd12::1": reach.LAN,
		"::ffff:10.0.0.1": reach.LAN, "64:ff9b::a00:1": reach.LAN, "2002:a00:1::": reach.LAN, "198.18.0.1": reach.LAN,
		"127.0.0.1": reach.Near, "127.1.2.3": reach.Near, "::1": reach.Near, "::ffff:127.0.0.1": reach.Near, "64:ff9b::7f00:1": reach.Near, "::127.0.0.1": reach.Near,
		"0.1.2.3": reach.Near, "2002:7f00:1::": reach.Near,
		"0.0.0.0": reach.All, "::": reach.All, "169.254.169.254": reach.All, "::ffff:169.254.169.254": reach.All, "64:ff9b::a9fe:a9fe": reach.All, "fe80::1": reach.All,
		"fe80::1%eth0": reach.All, "224.0.0.1": reach.All, "255.255.255.255": reach.All, "ff02::1": reach.All,
		"100.100.100.200": reach.All, "192.0.0.192": reach.All, "168.63.129.16": reach.All, "fd00:ec2::254": reach.All,
	} {
		for l := reach.World; l <= reach.All; l++ {
			err := g.Check(l, "some.host", netip.MustParseAddr(text))
			if (err == nil) != (l >= from) {
				t.Errorf("%s at %d: %v", text, l, err)
			}
			if refused, is := errors.AsType[*reach.Refused](err); err != nil && (!is || !strings.Contains(refused.Hint(), "allow_private: [some.host]")) {
				t.Errorf("%s: %v says not what to do", text, err)
			}
		}
	}
}

func TestOnWhoseBehalf(t *testing.T) {
	g := guard(t, "mirror.lan", "10.9.0.0/16", "127.0.0.7")
	others := context.Background()
	by := func(hosts ...string) context.Context { return reach.Owner(others, hosts...) }
	for _, tt := range []struct {
		name string
		ctx  context.Context
		host string
		want reach.Level
	}{
		{"others ask the world", others, "example.com", reach.World},
		{"and no address", others, "127.0.0.1:80", reach.World},
		{"but what the settings name", others, "Mirror.LAN:8080", reach.All},
		{"an address that was named by hand", by("127.0.0.1:8080"), "127.0.0.1:8080", reach.All},
		{"of clouds too", by("169.254.169.254"), "169.254.169.254", reach.All},
		{"the box by its name", by("localhost:8080"), "LOCALHOST:8080", reach.All},
		{"another port of the box, to where that has led", by("127.0.0.1:8080"), "127.0.0.1:9090", reach.Near},
		{"not to clouds from there", by("127.0.0.1:8080"), "169.254.169.254", reach.Near},
		{"a name that was named by hand is no address", by("evil.example"), "evil.example", reach.LAN},
		{"to where a mirror leads", by("10.0.0.1"), "10.0.0.2", reach.LAN},
		{"not to the box from there", by("10.0.0.1"), "127.0.0.1", reach.LAN},
		{"by nobody in particular", by(), "127.0.0.1", reach.LAN},
		{"of IPv6", by("[::1]:8080"), "[::1]:8080", reach.All},
	} {
		if got := g.Level(tt.ctx, tt.host); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	for text, want := range map[string]bool{"10.9.1.1": true, "::ffff:10.9.1.1": true, "10.8.1.1": false, "127.0.0.7": true, "127.0.0.8": false} {
		if err := g.Check(reach.World, "x", netip.MustParseAddr(text)); (err == nil) != want {
			t.Errorf("%s, which is allowed: %v", text, err)
		}
	}
	for _, bad := range []string{"", "http://x", "a b", "10.0.0.0/99", "*.lan"} {
		if _, err := reach.New([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// client asks as downloads do, one connection a request.
func client(g *reach.Guard) *http.Client {
	return &http.Client{Transport: g.Transport(func(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
		return &http.Transport{DialContext: dial, DisableKeepAlives: true}
	})}
}

func get(ctx context.Context, c *http.Client, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// A place that was named by hand sends on to where nobody may go.
func TestRedirects(t *testing.T) {
	var secrets atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { secrets.Add(1) }))
	defer inner.Close()
	to := ""
	place := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
	defer place.Close()
	at, _ := url.Parse(place.URL)
	for _, tt := range []struct {
		name, to string
		ctx      context.Context
		allow    []string
		refused  bool
	}{
		{name: "of the box, to the box", to: inner.URL, ctx: reach.Owner(t.Context(), at.Host)},
		{name: "to a cloud's door", to: "http://169.254.169.254/latest/meta-data/", ctx: reach.Owner(t.Context(), at.Host), refused: true},
		{name: "to where everything listens", to: strings.Replace(inner.URL, "127.0.0.1", "0.0.0.0", 1), ctx: reach.Owner(t.Context(), at.Host), refused: true},
		{name: "to the box, written as another protocol has it", to: strings.Replace(inner.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), ctx: reach.Owner(t.Context(), at.Host)},
		{name: "others do not get to the place at all", to: inner.URL, ctx: t.Context(), refused: true},
		{name: "but where the owner allows it", to: inner.URL, ctx: t.Context(), allow: []string{"127.0.0.0/8"}},
	} {
		before := secrets.Load()
		to = tt.to
		err := get(tt.ctx, client(guard(t, tt.allow...)), place.URL)
		_, is := errors.AsType[*reach.Refused](err)
		if is != tt.refused || !is && err != nil || (secrets.Load() > before) == tt.refused {
			t.Errorf("%s: %v, asked %v", tt.name, err, secrets.Load() > before)
		}
	}
}

// names answers as a name server that somebody else runs: each time the next address.
func names(t *testing.T, answers ...string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked int
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				a := netip.MustParseAddr(answers[min(asked, len(answers)-1)]).As4()
				asked++
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: a},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = conn.Close()
		<-done
	})
}

// A name that leads to a good place when it is looked at, and to the box when it is asked.
func TestNamesThatChangeTheirMind(t *testing.T) {
	var hits atomic.Int32
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })}}
	srv.Start()
	defer srv.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	names(t, "127.0.0.9", "127.0.0.1")
	c := client(guard(t, "127.0.0.9"))
	address := "http://rebinds.example:" + port + "/"
	for _, ctx := range []context.Context{t.Context(), reach.Owner(t.Context(), "rebinds.example:"+port)} {
		if hits.Load() == 0 {
			if err := get(ctx, c, address); err != nil || hits.Load() != 1 {
				t.Fatalf("a place that is allowed: %v", err)
			}
		}
		err := get(ctx, c, address)
		if refused, is := errors.AsType[*reach.Refused](err); !is || refused.Addr != netip.MustParseAddr("127.0.0.1") || hits.Load() != 1 {
			t.Errorf("it was asked at the box itself: %v", err)
		}
	}
}

// What goes by a proxy of the owner's is not looked up here; an address is seen all the same.
func TestProxiesAreTheOwners(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Host) }))
	defer proxy.Close()
	at, _ := url.Parse(proxy.URL)
	g := guard(t)
	c := &http.Client{Transport: g.Transport(func(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
		return &http.Transport{DialContext: dial, Proxy: http.ProxyURL(at)}
	})}
	if err := get(t.Context(), c, "http://models.example/x"); err != nil || asked.Load() != "models.example" {
		t.Errorf("%v, the proxy was asked for %v", err, asked.Load())
	}
	for _, address := range []string{"http://169.254.169.254/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/", "http://10.0.0.1/"} {
		if _, is := errors.AsType[*reach.Refused](get(t.Context(), c, address)); !is || asked.Load() != "models.example" {
			t.Errorf("%s: the proxy was asked for %v", address, asked.Load())
		}
	}
	limited := &http.Transport{Proxy: http.ProxyURL(at)}
	g.Limit(limited, "registry.example")
	if err := get(t.Context(), &http.Client{Transport: limited}, "http://registry.example/v2/"); err != nil {
		t.Errorf("a registry by the proxy: %v", err)
	}
}

// Somebody else's transport goes to the place that was named, and not to the box from elsewhere.
func TestLimit(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	at, _ := url.Parse(srv.URL)
	for named, want := range map[string]bool{at.Host: true, "127.0.0.1:1": true, "registry.example": false, "10.0.0.1:5000": false} {
		transport := &http.Transport{DisableKeepAlives: true}
		guard(t).Limit(transport, named)
		err := get(t.Context(), &http.Client{Transport: transport}, srv.URL)
		if _, is := errors.AsType[*reach.Refused](err); is == want || want && err != nil {
			t.Errorf("from %s: %v", named, err)
		}
	}
}
