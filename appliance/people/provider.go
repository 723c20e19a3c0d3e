package people

// Provider is a provider of OpenID Connect whose users may log in.
type Provider struct {
	Name     string `yaml:"name"`   // in addresses: corp
	Title    string `yaml:"title"`  // on the button; "": Name
	Issuer   string `yaml:"issuer"` // URL, to the byte as the provider says it
	ClientID string `yaml:"client_id"`
	// ClientSecretRef names a secret of the vault, ClientSecretFile is a file: one of the two, or none for a public client.
	ClientSecretRef  string   `yaml:"client_secret_ref"`
	ClientSecretFile string   `yaml:"client_secret_file"`
	Scopes           []string `yaml:"scopes"` // beside openid; none: profile and email
	// UsernameClaim says how users are called here; "": preferred_username, else what is before the @ of email.
	UsernameClaim string        `yaml:"username_claim"`
	GroupsClaim   string        `yaml:"groups_claim"` // "": groups
	AdminGroups   []string      `yaml:"admin_groups"` // who is in one administers the box, and who is in none does not; none: it is not told
	ProjectRoles  []ProjectRole `yaml:"project_roles"`
	// CreateUsers is whether who is not known yet becomes a user; nil: yes.
	CreateUsers *bool `yaml:"create_users"`
	// AllowedDomains are those of verified addresses of mail; none: anybody of the provider's.
	AllowedDomains []string `yaml:"allowed_domains"`
}

// ProjectRole is the part that a group of a provider has in a project.
type ProjectRole struct {
	Group   string `yaml:"group"`
	Project string `yaml:"project"`
	Role    string `yaml:"role"`
}

// Label is what people are shown.
func (p Provider) Label() string {
	if p.Title != "" {
		return p.Title
	}
	return p.Name
}

// Creates reports whether who is not known yet becomes a user.
func (p Provider) Creates() bool { return p.CreateUsers == nil || *p.CreateUsers }

// Groups is the claim that names groups.
func (p Provider) Groups() string {
	if p.GroupsClaim != "" {
		return p.GroupsClaim
	}
	return "groups"
}

// Grouped reports whether it matters in which groups somebody is.
func (p Provider) Grouped() bool { return len(p.AdminGroups) > 0 || len(p.ProjectRoles) > 0 }
