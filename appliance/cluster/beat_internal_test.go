package cluster

import (
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestWhoLeadsIsListenedTo(t *testing.T) {
	leads := func(created, said int64, value string) lead {
		return lead{key: &mvccpb.KeyValue{Key: []byte("k"), CreateRevision: created}, beat: &mvccpb.KeyValue{Value: []byte(value), ModRevision: said}}
	}
	silent := leads(7, 7, "")
	silent.beat = nil
	type look struct {
		at   time.Duration
		of   lead
		left time.Duration
		says bool
	}
	const patience = LeaseTime + beatMargin
	for name, looks := range map[string][]look{
		"it says so": {
			{0, leads(7, 8, "7"), patience, true}, {time.Second, leads(7, 9, "7"), patience, true}, {4 * time.Second, leads(7, 10, "7"), patience, true},
		},
		"it says nothing any more": {
			{0, leads(7, 8, "7"), patience, true}, {time.Second, leads(7, 8, "7"), patience - time.Second, true}, {patience, leads(7, 8, "7"), 0, true},
			{2 * patience, leads(7, 8, "7"), 0, true}, {2 * patience, leads(7, 9, "7"), patience, true},
		},
		"it is of a version that does not say so":    {{0, leads(7, 6, "3"), 0, false}, {time.Hour, leads(7, 6, "3"), 0, false}},
		"nobody ever has":                            {{0, silent, 0, false}, {time.Hour, silent, 0, false}},
		"it has taken the place of another just now": {{0, leads(7, 8, "7"), patience, true}, {time.Hour, leads(9, 10, ""), 0, false}, {2 * time.Hour, leads(9, 11, "9"), patience, true}},
		"nobody leads":                               {{0, lead{}, 0, false}},
	} {
		var l listener
		began := time.Now()
		for i, look := range looks {
			if left, says := l.patience(began.Add(look.at), look.of); left != look.left || says != look.says {
				t.Errorf("%s, look %d: %s, %v; want %s, %v", name, i, left, says, look.left, look.says)
			}
		}
	}
}
