package daemon

import (
	"cmp"
	"net"
	"slices"

	"github.com/palisade-run/palisade/appliance/config"
)

// moved is where other boxes reach this one once its settings say something else than they did: what of the address came from the
// settings follows them, and what was said when the box came in stays. Each of listen and advertise is HOST:PORT; advertise may be "".
func moved(address string, was, is config.Cluster) string {
	switch {
	case was.Listen == "":
		return address
	case is.Advertise != "" && is.Advertise != was.Advertise:
		return is.Advertise
	case is.Advertise != "" || was.Listen == is.Listen:
		return address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	wasHost, wasPort, err := net.SplitHostPort(was.Listen)
	if err != nil {
		return address
	}
	isHost, isPort, err := net.SplitHostPort(is.Listen)
	if err != nil {
		return address
	}
	if host == wasHost && isHost != "" && !net.ParseIP(isHost).IsUnspecified() {
		host = isHost
	}
	if port == wasPort {
		port = isPort
	}
	return net.JoinHostPort(host, port)
}

// settle brings the record to what the settings say of this box's addresses. The other members of etcd, and who leads, are told once it
// runs: see rememberOnce and announce.
func (s *seat) settle() error {
	c := s.Config.Cluster
	was := config.Cluster{Listen: s.kept.Listen, Advertise: s.kept.Advertise}
	before := s.kept.Address
	address := moved(before, was, c)
	if address == before && was.Listen == c.Listen && was.Advertise == c.Advertise {
		return nil
	}
	old, _ := beside(before, etcdClients)
	now, err := beside(address, etcdClients)
	if err != nil {
		return err
	}
	if address != before {
		s.log.Warn("this box is at another address than it was; the other boxes are told", "address", address, "before", before)
	}
	return s.update(func(r *seatRecord) {
		r.Address, r.Listen, r.Advertise = address, c.Listen, c.Advertise
		if i := slices.Index(r.Etcd, old); i >= 0 && r.Member {
			r.Etcd[i] = cmp.Or(now, old)
		}
	})
}
