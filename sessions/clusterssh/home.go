package clusterssh

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// prepareHome has the user's own ssh know the other containers, where the user has a home to write to: OpenSSH goes by the
// home that the image's list of users names, whatever HOME is. A file that is there stays; where none can be written,
// ssh -F with the session's own does the same.
func prepareHome(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, clusterdir.FileConfig))
	if err != nil {
		return err
	}
	users, _ := os.ReadFile("/etc/passwd") // an image of one program has none
	for _, home := range []string{homeOf(string(users), os.Getuid()), os.Getenv("HOME")} {
		if home == "" || home == "/" {
			continue
		}
		at := filepath.Join(home, ".ssh")
		if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // in the session, as its user
			continue // read-only, or not there
		}
		f, err := os.OpenFile(filepath.Join(at, "config"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // as above
		if err != nil {
			continue
		}
		_, _ = f.Write(text)
		f.Close()
	}
	return nil
}

// homeOf is the home of a user by /etc/passwd; "" where that does not say.
func homeOf(users string, uid int) string {
	for line := range strings.Lines(users) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 5 && f[2] == strconv.Itoa(uid) {
			return f[5]
		}
	}
	return ""
}
