package daemon

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/palisade-run/palisade/appliance/config"
)

func TestMoved(t *testing.T) {
	for name, tt := range map[string]struct {
		address string
		was, is config.Cluster
		want    string
	}{
		"nothing was known of the settings":             {"10.0.0.1:8480", config.Cluster{}, config.Cluster{Listen: ":9000"}, "10.0.0.1:8480"},
		"another port":                                  {"10.0.0.1:8480", config.Cluster{Listen: ":8480"}, config.Cluster{Listen: ":9000"}, "10.0.0.1:9000"},
		"another address":                               {"10.0.0.1:8480", config.Cluster{Listen: "10.0.0.1:8480"}, config.Cluster{Listen: "10.0.0.7:8480"}, "10.0.0.7:8480"},
		"all addresses, of which it has the same":       {"10.0.0.1:8480", config.Cluster{Listen: "10.0.0.1:8480"}, config.Cluster{Listen: "0.0.0.0:9000"}, "10.0.0.1:9000"},
		"a port that somebody else translates":          {"box-1.lan:443", config.Cluster{Listen: ":8480"}, config.Cluster{Listen: ":9000"}, "box-1.lan:443"},
		"it is said":                                    {"10.0.0.1:8480", config.Cluster{Listen: ":8480"}, config.Cluster{Listen: ":9000", Advertise: "box-1.lan:443"}, "box-1.lan:443"},
		"it was said, and is not any more: it stays":    {"box-1.lan:443", config.Cluster{Listen: ":8480", Advertise: "box-1.lan:443"}, config.Cluster{Listen: ":8480"}, "box-1.lan:443"},
		"said when it came in, and not in the settings": {"box-1.lan:443", config.Cluster{}, config.Cluster{Listen: ":8480", Advertise: "10.0.0.1:8480"}, "box-1.lan:443"},
		"it is said as before":                          {"box-1.lan:8480", config.Cluster{Listen: ":8480", Advertise: "box-1.lan:8480"}, config.Cluster{Listen: ":9000", Advertise: "box-1.lan:8480"}, "box-1.lan:8480"},
		"nothing has changed":                           {"10.0.0.1:8480", config.Cluster{Listen: ":8480"}, config.Cluster{Listen: ":8480"}, "10.0.0.1:8480"},
	} {
		if got := moved(tt.address, tt.was, tt.is); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// What a box remembers of itself goes along with its address, its own part of etcd among it.
func TestSettle(t *testing.T) {
	s := &seat{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	s.kept = seatRecord{Address: "10.0.0.1:8480", Listen: ":8480", Member: true, Etcd: []string{"10.0.0.1:8481", "10.0.0.2:8481"}}
	s.Config.Cluster.Listen = ":9000"
	for range 2 {
		if err := s.settle(); err != nil {
			t.Fatal(err)
		}
		if r, err := readSeat(s.dir); err != nil || r.Address != "10.0.0.1:9000" || r.Listen != ":9000" || !slices.Equal(r.Etcd, []string{"10.0.0.1:9001", "10.0.0.2:8481"}) {
			t.Errorf("%+v %v", r, err)
		}
	}
}
