// Package clustertest starts a real etcd of one member for tests, below a directory of its own, and can cut clients off from it.
package clustertest

import (
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// Etcd is one member, without TLS, on loopback.
type Etcd struct {
	Endpoint string // host:port
}

// Start starts one that ends with the test.
func Start(t testing.TB) *Etcd {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := embed.NewConfig()
	c.Dir, c.Name = dir, "one"
	c.TickMs, c.ElectionMs = 50, 500
	c.UnsafeNoFsync, c.GRPCAdditionalServerOptions = true, member.Answers()
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	peer, client := url.URL{Scheme: "http", Host: free(t)}, url.URL{Scheme: "http", Host: free(t)}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd is not ready")
	}
	return &Etcd{client.Host}
}

// free is an address that nobody has at the moment.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Client is one that ends with the test.
func (e *Etcd) Client(t testing.TB) *clientv3.Client { return client(t, e.Endpoint) }

func client(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second,
		DialOptions: append(member.Calls(), grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
