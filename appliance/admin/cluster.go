package admin

import (
	"cmp"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// clusterOut says which container of its session one is; nil where it has no others.
func clusterOut(v sessions.Session) *api.Cluster {
	c := v.Task.Cluster
	if c == nil {
		return nil
	}
	out := &api.Cluster{
		ID: c.ID, Role: string(c.Role), Host: c.Host(), Rank: c.Rank, Size: c.Size, Run: string(c.Run),
		Mode: string(cmp.Or(c.Mode, sessions.ClusterSingleNode)),
	}
	if c.Net != nil {
		out.Network = string(c.Net.Kind)
	}
	return out
}

// addContainers tells with the main container of a session of all of them.
func (s *server) addContainers(out *api.Session, v sessions.Session, held map[string]*api.Claim) error {
	if v.Task.Cluster == nil || v.IsSub() {
		return nil
	}
	all, err := s.Sessions.Containers(v.Project, v.ID)
	if err != nil {
		return err
	}
	out.Cluster.Containers = containersOut(all, held)
	return nil
}

// containersOut are the containers of one session, by rank.
func containersOut(all []sessions.Session, held map[string]*api.Claim) []api.Container {
	var out []api.Container
	for _, one := range all {
		out = append(out, api.Container{
			ID: one.ID, Name: one.Name, Host: one.Task.Cluster.Host(), Rank: one.Task.Cluster.Rank, Status: string(one.Status), Reason: one.Reason,
			Address: one.Address, Exit: exitOut(one.Exit), Claim: holdings(one, held),
		})
	}
	return out
}
