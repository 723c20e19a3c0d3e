package private

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version of a containerd.
type Version struct {
	Major, Minor int
	Text         string // 1.6.20~ds1, v2.4.2
}

func (v Version) String() string { return v.Text }

var versionLine = regexp.MustCompile(`^\S+ \S+ (v?(\d{1,4})\.(\d{1,4})\S*)`)

// parseVersion reads what `containerd --version` prints: "containerd github.com/containerd/containerd v1.7.1 REVISION".
// Versions that are too old to be worked with are refused.
func parseVersion(output string) (Version, error) {
	m := versionLine.FindStringSubmatch(output)
	if m == nil {
		return Version{}, fmt.Errorf("%.100q is not how a containerd tells its version", output)
	}
	major, majorErr := strconv.Atoi(m[2])
	minor, minorErr := strconv.Atoi(m[3])
	v := Version{Major: major, Minor: minor, Text: m[1]}
	if majorErr != nil || minorErr != nil || major < 1 || major == 1 && minor < 6 {
		return Version{}, &Error{
			err:  fmt.Errorf("containerd %s is too old: 1.6 or newer is needed", v.Text),
			hint: "install a newer one; Debian 12 and Ubuntu 22.04 have one that does: apt-get install containerd runc",
		}
	}
	return v, nil
}
