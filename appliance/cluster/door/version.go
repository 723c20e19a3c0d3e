package door

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errVersions: two boxes are of versions that are too far apart.
var errVersions = errors.New("their versions are too far apart")

// speaks tells whether boxes of two versions may be of one cluster: where the first number is the same, and the second differs by
// one at most. What is no release, as is built by who works on it, goes with everything.
func speaks(ours, theirs string) error {
	a, b, known := numbers(ours)
	c, d, also := numbers(theirs)
	if !known || !also || a == c && b-d <= 1 && d-b <= 1 {
		return nil
	}
	older := "the box that wants to join"
	if a < c || a == c && b < d {
		older = "the box that was asked"
	}
	return &Error{fmt.Errorf("%w: the cluster has %s, this box %s", errVersions, ours, theirs), "update " + older + " first: boxes of one cluster may be one minor version apart"}
}

// numbers are the first two of a version: v1.2.3 and 1.2.3-rc1 are 1 and 2. What is none of a release is not ok.
func numbers(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil && major >= 0 && minor >= 0
}
