package door

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// Way is what a box that was let in has to know to find the others.
type Way struct {
	Cluster string   `json:"cluster"` // its id
	Etcd    []string `json:"etcd"`    // HOST:PORT of its members
}

const pathWay = pathPrefix + "way"

func (s *Server) way(w http.ResponseWriter, r *http.Request) error {
	if s.rooms.Way == nil {
		return fmt.Errorf("%s: %w", s.rooms.Node.Name(), ErrNotReady)
	}
	way, err := s.rooms.Way(r.Context())
	if err != nil {
		return err
	}
	return respond(w, way)
}

// AskWay asks a box whose name is not known, by the address at which this one was let in. It must be of the cluster. trust.ErrRemoved
// where a box of the cluster says that this one is none any more.
func AskWay(ctx context.Context, node *trust.Node, hostport string) (way Way, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callPatience, fmt.Errorf("no answer within %s", callPatience))
	defer cancel()
	sure := false // that who answers is of the cluster
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			raw, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, "tcp", hostport)
			if err != nil {
				return nil, fmt.Errorf("reaching %s: %w", hostport, err)
			}
			config := node.EtcdClient() // the name that all boxes have
			config.NextProtos = []string{"http/1.1"}
			crypt := tls.Client(raw, config)
			if err := crypt.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, fmt.Errorf("reaching %s: %w", hostport, err)
			}
			sure = true
			return crypt, nil
		},
		DisableKeepAlives: true,
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+trust.EtcdName+pathWay, http.NoBody)
	if err != nil {
		return way, fmt.Errorf("asking %s: %w", hostport, err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil && sure && strings.Contains(err.Error(), "tls: bad certificate") { // it looks at this box's after that
		return way, fmt.Errorf("%s: %w", hostport, trust.ErrRemoved)
	}
	if err != nil {
		return way, away(ctx, hostport, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return way, refused(hostport, answer)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestBody)).Decode(&way); err != nil {
		return way, fmt.Errorf("%s: %w", hostport, err)
	}
	return way, nil
}
