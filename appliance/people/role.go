// Package people owns who may use the appliance: users, what proves them and that they are logged in, projects, and who has
// which part in which project. Of what proves somebody only hashes are kept, but for the secret of a second factor, which is
// sealed. It knows nothing of HTTP, of sessions and services, nor of how rows are kept.
package people

import "fmt"

// Role is what somebody may do in a project. A higher one may all that a lower one may. The zero Role is that of who has no
// part in it.
type Role int

// The roles, from the least.
const (
	None   Role = iota
	Viewer      // sees all that is not somebody's secret
	Member      // makes, changes and ends what the project has, and what is their own
	Owner       // enters and ends everybody's, sees what was asked and answered, and says who has which part
)

// roleNames are the words for the roles, in their order.
func roleNames() []string { return []string{"none", "viewer", "member", "owner"} }

// Roles are the words for those that can be given, from the least.
func Roles() []string { return roleNames()[Viewer:] }

// String is the word for a role.
func (r Role) String() string {
	if r < None || r > Owner {
		return fmt.Sprintf("role %d", int(r))
	}
	return roleNames()[r]
}

// ParseRole reads the word for a role that can be given.
func ParseRole(word string) (Role, error) {
	for i, name := range Roles() {
		if name == word {
			return Role(i) + Viewer, nil
		}
	}
	return None, &Fault{Kind: ErrInvalid, Text: fmt.Sprintf("%q is no role", word), Advice: "one of viewer, member, owner"}
}
