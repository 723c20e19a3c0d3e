package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// pingEvery is how often a client looks at whether a member still answers.
const pingEvery = 2 * time.Second

// anew is how a member that is not reached is tried again. gRPC itself waits up to two minutes between two tries, and twenty seconds for
// one: a box that was cut off would be apart for much longer than it was.
var anew = grpc.ConnectParams{ //nolint:gochecknoglobals // a constant in all but name
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 2 * time.Second,
}

// What may be on its way to who reads slowly: a gigabit over 100 ms, and some of it for each call.
const (
	windowOfCall = 4 << 20
	windowOfAll  = 16 << 20
)

// Calls are how a client calls etcd. gRPC left alone asks after each message, by a ping, how much more could be on its way: a box speaks
// to etcd in messages of a few bytes, all the time, and each of them would be three.
func Calls() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStaticStreamWindowSize(windowOfCall), grpc.WithStaticConnWindowSize(windowOfAll), grpc.WithConnectParams(anew)}
}

// Answers are how a member answers calls, for the same reason.
func Answers() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StaticStreamWindowSize(windowOfCall), grpc.StaticConnWindowSize(windowOfAll)}
}

// Connect returns a client of a cluster's own etcd. config is trust.Node.EtcdClient. It does not wait for a member to
// answer: each call has a context of its own. It goes through no proxy. Members that come later are for the caller to tell it of.
func Connect(config *tls.Config, endpoints ...string) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: https(endpoints), TLS: config, Logger: zap.NewNop(),
		DialKeepAliveTime: pingEvery, DialKeepAliveTimeout: pingEvery, PermitWithoutStream: true,
		DialOptions: append(Calls(), grpc.WithNoProxy()),
	})
	if err != nil {
		return nil, fmt.Errorf("a client of etcd: %w", err)
	}
	return c, nil
}

func https(endpoints []string) []string {
	var out []string
	for _, e := range endpoints {
		out = append(out, "https://"+e)
	}
	return out
}

// External is an etcd of the owner's. There are no members of ours then.
type External struct {
	Endpoints   []string // URLs: https://etcd-1.example.com:2379
	CA          string   // file of certificates; "": the system's
	Certificate string   // file, for who wants one
	Key         string   // file
	User        string
	Password    string
}

// Connect returns a client. It does not wait for an answer.
func (x External) Connect() (*clientv3.Client, error) {
	config, err := x.tls()
	if err != nil {
		return nil, err
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: x.Endpoints, TLS: config, Username: x.User, Password: x.Password, Logger: zap.NewNop(),
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		DialOptions: Calls(),
	})
	if err != nil {
		return nil, fmt.Errorf("a client of the external etcd: %w", err)
	}
	return c, nil
}

func (x External) tls() (*tls.Config, error) {
	if len(x.Endpoints) == 0 {
		return nil, &Error{fmt.Errorf("the external etcd: %w: no endpoints", ErrInvalid), "name them as URLs: https://etcd-1.example.com:2379"}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if x.CA != "" {
		raw, err := os.ReadFile(x.CA)
		if err != nil {
			return nil, fmt.Errorf("the external etcd: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("the external etcd: %s: %w: it holds no certificate", x.CA, ErrInvalid)
		}
	}
	if (x.Certificate == "") != (x.Key == "") {
		return nil, fmt.Errorf("the external etcd: %w: certificate and key are given both or not at all", ErrInvalid)
	}
	if x.Certificate != "" {
		if _, err := tls.LoadX509KeyPair(x.Certificate, x.Key); err != nil {
			return nil, fmt.Errorf("the external etcd: %w", err)
		}
		// Read anew at each handshake: the owner renews it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(x.Certificate, x.Key)
			return &c, err
		}
	}
	return config, nil
}

// retry does f again until it succeeds, fails for good, or ctx ends. f returns ErrNotYet for what may come to be.
func retry(ctx context.Context, f func(context.Context) error) error {
	wait := 50 * time.Millisecond
	for {
		err := f(ctx)
		if err == nil || !errors.Is(err, ErrNotYet) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-timer.C:
		}
		wait = min(2*wait, time.Second)
	}
}
