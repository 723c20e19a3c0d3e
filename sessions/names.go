package sessions

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
)

var namePattern = regexp.MustCompile(`^\w[\w.-]*\w$`)

// checkName refuses names that could not stand in a URL, a host name or on a command line.
func checkName(name string) error {
	if len(name) < 2 || len(name) > 64 || !namePattern.MatchString(name) {
		return fmt.Errorf("%w: name %q: 2 to 64 letters, digits, '_', '-' and '.', beginning and ending with a letter, digit or '_'", ErrInvalid, name)
	}
	return nil
}

// sessionName names a session of a service: both must fit in 64 characters.
func sessionName(service, id string) string {
	const mark = 6 // of the id
	return service[:min(len(service), 64-1-mark)] + "-" + id[len(id)-mark:]
}

// longestRank is how much longer than its session's the name of a container may be, and its mark: see sessionName and memberName.
const longestRank = len("-123456-sub63")

// newID makes an id that is never made again: prefix, "-" and 12 characters of 60 random bits.
func newID(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:12]) }
