package oidc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/people"
)

// claims are what a provider says of somebody.
type claims map[string]json.RawMessage

func (c claims) text(name string) string {
	var v string
	if json.Unmarshal(c[name], &v) != nil {
		return ""
	}
	return strings.TrimSpace(v)
}

// yes reads a boolean, which some providers write as a word.
func (c claims) yes(name string) bool {
	var v bool
	return json.Unmarshal(c[name], &v) == nil && v || strings.EqualFold(c.text(name), "true")
}

// list reads a list, or a single word.
func (c claims) list(name string) []string {
	var many []string
	if json.Unmarshal(c[name], &many) == nil {
		return many
	}
	if one := c.text(name); one != "" {
		return []string{one}
	}
	return nil
}

// email is the address that the provider has proved; "": none.
func (c claims) email() string {
	if !c.yes("email_verified") {
		return ""
	}
	return c.text("email")
}

// outside is who somebody is here, of what a provider says.
//  1. The provider's id of them is what counts: names and addresses can be changed there.
//  2. Where domains are given, a proven address of one of them opens, and nothing else.
//  3. The name is that of the claim which is set, else of the first of the usual ones that there is.
//  4. Groups make an administrator, or none, where some are named for that.
func outside(p people.Provider, issuer string, c claims) (people.Outside, error) {
	o := people.Outside{Issuer: issuer, Subject: c.text("sub"), DisplayName: c.text("name"), Email: c.email(), Known: !p.Creates()}
	if o.Subject == "" { // 1
		return o, &Fault{Kind: Refused, Text: p.Label() + " says not who has logged in"}
	}
	if len(p.AllowedDomains) > 0 { // 2
		_, domain, _ := strings.Cut(o.Email, "@")
		if domain == "" {
			return o, &Fault{Kind: Domain, Text: p.Label() + " has no proven address of mail of who has logged in, and one is needed here"}
		}
		if !slices.ContainsFunc(p.AllowedDomains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			return o, &Fault{Kind: Domain, Text: fmt.Sprintf("addresses of %s are not let in", domain)}
		}
	}
	if o.Name = nameOf(p, c); o.Name == "" { // 3
		return o, &Fault{Kind: Refused, Text: fmt.Sprintf("%s says nothing of %s that could be a name here", p.Label(), o.Subject), Advice: "people.oidc.username_claim says which claim is"}
	}
	if len(p.AdminGroups) > 0 { // 4
		o.Admin = new(slices.ContainsFunc(c.list(p.Groups()), func(g string) bool { return slices.Contains(p.AdminGroups, g) }))
	}
	return o, nil
}

func nameOf(p people.Provider, c claims) string {
	if p.UsernameClaim != "" {
		return plain(c.text(p.UsernameClaim))
	}
	for _, text := range []string{c.text("preferred_username"), c.email(), c.text("name")} {
		if name := plain(text); name != "" {
			return name
		}
	}
	return ""
}

// plain makes a name as users here have them: small letters, digits and a few signs. Of an address of mail, what is before the @.
func plain(text string) string {
	text, _, _ = strings.Cut(strings.ToLower(text), "@")
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r == ' ' || r == '\\' || r == '/':
			return '-'
		}
		return -1
	}, text)
	text = strings.TrimRight(strings.TrimLeft(text, ".-_0123456789"), ".-_")
	if len(text) > 64 {
		text = strings.TrimRight(text[:64], ".-_")
	}
	return text
}

// Given are the parts that groups give, the highest of each project.
func Given(p people.Provider, groups []string) map[string]people.Role {
	given := map[string]people.Role{}
	for _, r := range p.ProjectRoles {
		role, err := people.ParseRole(r.Role)
		if err == nil && slices.Contains(groups, r.Group) && role > given[r.Project] {
			given[r.Project] = role
		}
	}
	return given
}

// By is who is said to have given a part that a provider's groups give.
func By(provider string) string { return "oidc:" + provider }

// Plan is what is to change of somebody's parts so that they have what their groups give. What a person has given stays, and is
// raised where groups give more; what groups gave, and give no more, goes.
func Plan(provider, user string, have []people.Membership, given map[string]people.Role) (set []people.Membership, drop []string) {
	held := map[string]people.Membership{}
	for _, m := range have {
		held[m.Project] = m
		if _, still := given[m.Project]; !still && m.AddedBy == By(provider) {
			drop = append(drop, m.Project)
		}
	}
	for _, project := range slices.Sorted(maps.Keys(given)) {
		role, had := given[project], held[project]
		if had.Role == role || had.AddedBy != By(provider) && had.Role > role {
			continue
		}
		set = append(set, people.Membership{Project: project, User: user, Role: role, AddedBy: By(provider)})
	}
	slices.Sort(drop)
	return set, drop
}
