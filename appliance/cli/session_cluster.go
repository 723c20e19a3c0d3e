package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// clusterWords say of which session a container is, or how many a session has.
func clusterWords(s api.Session) string {
	switch c := s.Cluster; {
	case c == nil:
		return ""
	case c.Role == "main" && s.ServiceID != "":
		return fmt.Sprintf("%d, of one engine", c.Size) + netWords(c)
	case c.Role == "main" && c.Run == "all":
		return fmt.Sprintf("%d, each of which runs the command", c.Size) + netWords(c)
	case c.Role == "main":
		return fmt.Sprintf("%d, of which the main one runs the command", c.Size) + netWords(c)
	default:
		return fmt.Sprintf("%s, one of %d of session %s", c.Host, c.Size, c.ID)
	}
}

// netWords say by what the containers of a session reach each other that may be on several boxes.
func netWords(c *api.Cluster) string {
	if c.Mode != "multi-node" {
		return ""
	}
	switch c.Network {
	case "vxlan":
		return "; they reach each other by tunnels between their boxes (vxlan)"
	case "host":
		return "; they are on the network of their boxes (host)"
	case "bridge":
		return "; all are on one box"
	}
	return "; they may be on several boxes"
}

// rankWords say of how many containers each route of a service is; "" of one.
func rankWords(r api.Recipe) string {
	switch {
	case r.ClusterSize < 2:
		return ""
	case r.ClusterMode == "multi-node":
		return fmt.Sprintf("%d of each route, which may be on several boxes", r.ClusterSize)
	}
	return fmt.Sprintf("%d of each route, on one box", r.ClusterSize)
}

// printRanks lists the containers of routes that have several.
func (a *app) printRanks(routes []api.Route) {
	t, found := newTable("ROUTE", "RANK", "CONTAINER", "STATUS", "BOX", "DEVICES", "REASON"), false
	for _, r := range routes {
		for _, c := range r.Containers {
			box := ""
			if c.Claim != nil {
				box = c.Claim.Node
			}
			reason := c.Reason
			if reason == r.Reason {
				reason = "" // it is in the table of routes
			}
			if c.Exit != nil && c.Exit.Message != "" {
				reason = c.Exit.Message
			}
			found = true
			t.add(r.ID, strconv.Itoa(c.Rank), c.Name, c.Status, orDash(box), orDash(heldDevices(c.Claim)), orDash(briefly(reason)))
		}
	}
	if found {
		fmt.Fprintln(a.out)
		t.write(a.out)
	}
}

// heldDevices are the devices that a container holds on its box, neighbours as one: cuda:0-7.
func heldDevices(c *api.Claim) string {
	if c == nil {
		return ""
	}
	var parts []string
	var family, first string
	last := -1
	for _, d := range c.Devices {
		ref := strings.TrimPrefix(d.Ref, c.Node+"/")
		of, index, _ := strings.Cut(ref, ":")
		n, err := strconv.Atoi(index)
		if err == nil && d.Share == "1.00" && last >= 0 && of == family && n == last+1 {
			parts[len(parts)-1], last = first+"-"+index, n
			continue
		}
		family, first, last = of, ref, n
		if err != nil || d.Share != "1.00" {
			last = -1
		}
		if d.Share != "1.00" {
			ref += " " + d.Share
		}
		parts = append(parts, ref)
	}
	return strings.Join(parts, ", ")
}

// printContainers lists the containers of a session that has several.
func (a *app) printContainers(s api.Session) {
	if s.Cluster == nil || len(s.Cluster.Containers) == 0 {
		return
	}
	t := newTable("HOST", "ID", "NAME", "STATUS", "ADDRESS", "HOLDS", "REASON")
	for _, c := range s.Cluster.Containers {
		reason := c.Reason
		if c.Exit != nil && c.Exit.Message != "" {
			reason = c.Exit.Message
		}
		t.add(c.Host, c.ID, c.Name, c.Status, orDash(c.Address), orDash(claimWords(c.Claim)), briefly(reason))
	}
	fmt.Fprintln(a.out)
	t.write(a.out)
}
