package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/catalog"
)

var providerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// checkProviders looks at who else proves users. None is asked.
func checkProviders(all []people.Provider) (ps catalog.Problems) {
	names, issuers := map[string]bool{}, map[string]bool{}
	for i, p := range all {
		at := func(field string) string { return fmt.Sprintf("people.oidc[%d].%s", i, field) }
		switch {
		case !providerName.MatchString(p.Name):
			ps = append(ps, problem(at("name"), fmt.Sprintf("%q cannot stand in an address", p.Name), "small letters, digits and '-', like corp"))
		case names[p.Name]:
			ps = append(ps, problem(at("name"), fmt.Sprintf("there is a provider %s already", p.Name), "choose another one"))
		}
		names[p.Name] = true
		if why, hint := badIssuer(p.Issuer); why != "" {
			ps = append(ps, problem(at("issuer"), why, hint))
		} else if issuers[p.Issuer] {
			ps = append(ps, problem(at("issuer"), "is that of another provider, too: users could not be told apart", "one provider each"))
		}
		issuers[p.Issuer] = true
		if p.ClientID == "" {
			ps = append(ps, problem(at("client_id"), "is missing", "the provider gives one when this appliance is registered there"))
		}
		switch {
		case p.ClientSecretRef != "" && p.ClientSecretFile != "":
			ps = append(ps, problem(at("client_secret_ref"), "and client_secret_file are both set", "one of the two"))
		case p.ClientSecretFile != "" && !filepath.IsAbs(p.ClientSecretFile):
			ps = append(ps, problem(at("client_secret_file"), "must be an absolute path", "like /etc/palisade/corp.secret"))
		}
		for j, r := range p.ProjectRoles {
			if _, err := people.ParseRole(r.Role); err != nil || r.Group == "" || r.Project == "" {
				ps = append(ps, problem(fmt.Sprintf("people.oidc[%d].project_roles[%d]", i, j), "must have a group, a project and a role", "roles are viewer, member and owner"))
			}
		}
		for j, d := range p.AllowedDomains {
			if !domainName(strings.ToLower(d)) {
				ps = append(ps, problem(fmt.Sprintf("people.oidc[%d].allowed_domains[%d]", i, j), fmt.Sprintf("%q is no domain", d), "like example.com: what stands behind the @"))
			}
		}
		if len(p.AllowedDomains) == 0 && p.Creates() && public(p.Issuer) {
			ps = append(ps, warning(at("allowed_domains"), "is empty, and anybody has a user there: all of them are let in", "list domains, or set create_users: false"))
		}
	}
	return ps
}

// badIssuer says what is wrong with an issuer. Over plain HTTP anybody on the way could be anybody; on the box itself nobody is on
// the way.
func badIssuer(issuer string) (why, hint string) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Sprintf("%q is no issuer", issuer), "a URL, to the byte as the provider's /.well-known/openid-configuration has it"
	case u.Scheme == "http" && u.Hostname() != "localhost" && !loopback(withPort(u)):
		return "is asked without TLS: whoever stands on the way could log in as anybody", "write https://"
	}
	return "", ""
}

// withPort is a URL's host as an address to listen at is written.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":80"
}

// public tells providers at which anybody can have a user.
func public(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && (u.Hostname() == "accounts.google.com" || u.Hostname() == "gitlab.com" || u.Hostname() == "login.microsoftonline.com" && strings.Contains(u.Path, "/common"))
}
