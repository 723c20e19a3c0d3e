package clusterdir

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// The files of a session's directory. Each is there, whole, as soon as the directory is.
const (
	FileHostfile   = "hostfile"        // of MPI: a line for each container
	FileConfig     = "ssh_config"      // for ssh -F
	FileKey        = "key"             // the private key by which each logs in to the others
	FileAuthorized = "authorized_keys" // whom each lets in
	FileHostKey    = "host_key"        // the private key that each shows to the others
	FileKnown      = "known_hosts"
	fileGo         = "go." // and the number of a run: all its containers are there
)

// Port is on which the containers of a session answer SSH, where they have a network of their own.
const Port = 2200

// Mount is where containers see their directory.
const Mount = "/run/palisade/cluster"

// keyOwner owns the private keys: nobody in any session, so that an ssh of any user takes them, which refuses keys of its
// own user that others could read. Who is not in the session does not get to them: see Dirs.
const keyOwner = 1<<31 - 2

// Dirs are the directories of all sessions, below one that none but the box's root may look into.
type Dirs struct {
	root string

	mu sync.Mutex // who makes a directory is alone with it
}

// New keeps directories below root, which is made when there is one to keep.
func New(root string) *Dirs { return &Dirs{root: root} }

// Make makes a session's directory, for containers of these host names that answer SSH on these ports, by rank, and returns its
// path. Keys that are there stay as they are; where one is empty, as it may be after the machine lost its power, all are made anew.
func (d *Dirs) Make(id string, hosts []string, ports []int) (dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err = d.dir(id)
	if err != nil {
		return "", err
	}
	_, there := os.Stat(dir)
	if there == nil && keyed(dir) {
		return dir, refresh(dir, names(hosts, ports))
	}
	files, err := Files(hosts, ports)
	if err != nil {
		return "", err
	}
	if there == nil {
		return dir, refresh(dir, files)
	}
	return dir, d.put(id, dir, files)
}

// keyed tells whether a session's directory has all keys.
func keyed(dir string) bool {
	for _, name := range []string{FileKey, FileAuthorized, FileHostKey, FileKnown} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			return false
		}
	}
	return true
}

// Put makes a session's directory of files that somebody else has made, as Files does, and returns its path. Where it is there,
// it is as they are from now on; what waits in it waits on.
func (d *Dirs) Put(id string, files map[string]string) (dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err = d.dir(id)
	if err != nil {
		return "", err
	}
	for name := range files {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return "", fmt.Errorf("%q is no file of a session's directory", name)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, refresh(dir, files)
	}
	return dir, d.put(id, dir, files)
}

// Path is where a session's directory is, or will be.
func (d *Dirs) Path(id string) (string, error) { return d.dir(id) }

// put makes a directory, whole or not at all.
func (d *Dirs) put(id, dir string, files map[string]string) error {
	half := dir + ".new"
	err := errors.Join(os.MkdirAll(d.root, 0o700), os.RemoveAll(half))
	if err == nil {
		err = fill(half, files)
	}
	if err == nil {
		err = os.Rename(half, dir)
	}
	if err != nil {
		return fmt.Errorf("making the directory of %s: %w", id, errors.Join(err, os.RemoveAll(half)))
	}
	return nil
}

// Open tells the containers of a run that all of them are there. Twice is once.
func (d *Dirs) Open(id string, run int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := d.dir(id)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fileGo+strconv.Itoa(run)), nil, 0o444)
	}
	if errors.Is(err, fs.ErrPermission) {
		_, err = os.Stat(filepath.Join(dir, fileGo+strconv.Itoa(run))) // it was told before
	}
	return err
}

// Forget removes a session's directory. What is not there is no error.
func (d *Dirs) Forget(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := d.dir(id)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	return err
}

// Keep forgets all but those of the sessions that live.
func (d *Dirs) Keep(live []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries, err := os.ReadDir(d.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		if !slices.Contains(live, e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(d.root, e.Name())))
		}
	}
	return errors.Join(append(errs, err)...)
}

// dir is where a session's directory is. An id is a name that a file can have.
func (d *Dirs) dir(id string) (string, error) {
	if id == "" || id == "." || !filepath.IsLocal(id) || filepath.Base(id) != id || strings.HasSuffix(id, ".new") {
		return "", fmt.Errorf("%q is no id of a session", id)
	}
	return filepath.Join(d.root, id), nil
}

// Files are what a session's directory has, by name, with new keys.
func Files(hosts []string, ports []int) (map[string]string, error) {
	client, clientLine, err := newKey()
	if err != nil {
		return nil, err
	}
	host, hostLine, err := newKey()
	if err != nil {
		return nil, err
	}
	files := names(hosts, ports)
	maps.Copy(files, map[string]string{FileAuthorized: clientLine, FileKnown: "* " + hostLine, FileKey: client, FileHostKey: host})
	return files, nil
}

// names are the files that follow from the containers' names and ports.
func names(hosts []string, ports []int) map[string]string {
	var hostfile strings.Builder
	for _, name := range hosts {
		hostfile.WriteString(name + " slots=1\n")
	}
	return map[string]string{FileHostfile: hostfile.String(), FileConfig: config(hosts, ports)}
}

// Renamed is files with others for containers that answer on other ports; the keys are the same.
func Renamed(files map[string]string, hosts []string, ports []int) map[string]string {
	out := maps.Clone(files)
	maps.Copy(out, names(hosts, ports))
	return out
}

// fill makes a directory with all that is in it at first.
func fill(dir string, files map[string]string) error {
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // whatever the umask is
		return err
	}
	return write(dir, files)
}

// refresh writes those of files anew that are otherwise.
func refresh(dir string, files map[string]string) error {
	others := map[string]string{}
	for name, text := range files {
		if has, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(has) != text {
			others[name] = text
		}
	}
	return write(dir, others)
}

// write writes files, each whole or not at all.
func write(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		half := path + ".new"
		if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) { // who was killed has left it, and nobody may write to it
			return err
		}
		err := errors.Join(os.WriteFile(half, []byte(text), 0o444), os.Chmod(half, 0o444)) // whatever the umask is
		if (name == FileKey || name == FileHostKey) && os.Geteuid() == 0 {
			err = errors.Join(err, os.Chown(half, keyOwner, keyOwner))
		}
		if err = errors.Join(err, os.Rename(half, path)); err != nil {
			return err
		}
	}
	return nil
}

// config is what an ssh that is started in a container goes by. It speaks of the session's containers alone: hosts of the world
// may begin with the same letters. Those that are named after the session end with their host's name.
func config(hosts []string, ports []int) string {
	all, others := slices.Clone(hosts), ""
	for rank, host := range hosts {
		names := host
		if rank > 0 {
			names += " *-" + host
			all = append(all, "*-"+host)
		}
		if ports[rank] != Port { // the first word that ssh finds holds
			others += fmt.Sprintf("Host %s\n\tPort %d\n", names, ports[rank])
		}
	}
	return fmt.Sprintf(`# Of Palisade: how the containers of this session reach each other. ssh -F %[1]s/ssh_config sub1
%[4]sHost %[3]s
	Port %[2]d
	IdentityFile %[1]s/key
	IdentitiesOnly yes
	UserKnownHostsFile %[1]s/known_hosts
	StrictHostKeyChecking yes
	PasswordAuthentication no
	LogLevel ERROR
`, Mount, Port, strings.Join(all, " "), others)
}

// newKey makes a key: the private one as a file has it, and the public one as a line.
func newKey() (private, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	block, err := ssh.MarshalPrivateKey(priv, "palisade")
	if err != nil {
		return "", "", err
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(key)), nil
}
