package inside

import (
	"errors"
	"slices"
	"testing"
)

func TestFill(t *testing.T) {
	known := map[string][]string{"main1": {"fd00::1", "10.0.0.1"}, "sub1": {"fd00::2"}}
	f := filler{hosts: map[string]string{"{node_address}": "sub1", "{head_address}": "main1"}, resolve: func(host string) ([]string, error) {
		if known[host] == nil {
			return nil, errors.New("no such host")
		}
		return known[host], nil
	}}
	got := f.fill([]string{"--at={node_address}", "{head_address}:29500", "{node_address}:1,{node_address}", "{other}", "{head_address} {node_address}"})
	if f.err != nil || !slices.Equal(got, []string{"--at=fd00::2", "10.0.0.1:29500", "[fd00::2]:1,fd00::2", "{other}", "10.0.0.1 fd00::2"}) {
		t.Error(got, f.err)
	}
	f.hosts["{node_address}"] = "sub2"
	if f.fill([]string{"{head_address}"}); f.err != nil {
		t.Error(f.err)
	}
	if f.fill([]string{"{node_address}"}); f.err == nil {
		t.Error("an address that nobody knows")
	}
}

func TestStartTogetherWantsACommand(t *testing.T) {
	for _, args := range [][]string{{}, {"--"}, {"main1:1"}, {"main1:1", "--"}} {
		if startTogether(args) == nil {
			t.Error(args)
		}
	}
}
