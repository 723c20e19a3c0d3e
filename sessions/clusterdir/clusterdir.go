package clusterdir

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
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

// Port is on which the containers of a session answer SSH.
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

// Make makes a session's directory, for containers of these host names, by rank, and returns its path. One that is there
// stays as it is.
func (d *Dirs) Make(id string, hosts []string) (dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err = d.dir(id)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	half := dir + ".new"
	err = errors.Join(os.MkdirAll(d.root, 0o700), os.RemoveAll(half))
	if err == nil {
		err = fill(half, hosts)
	}
	if err == nil {
		err = os.Rename(half, dir)
	}
	if err != nil {
		return "", fmt.Errorf("making the directory of %s: %w", id, errors.Join(err, os.RemoveAll(half)))
	}
	return dir, nil
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

// fill makes a directory with all that is in it at first.
func fill(dir string, hosts []string) error {
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // whatever the umask is
		return err
	}
	client, clientLine, err := newKey()
	if err != nil {
		return err
	}
	host, hostLine, err := newKey()
	if err != nil {
		return err
	}
	var hostfile strings.Builder
	for _, name := range hosts {
		hostfile.WriteString(name + " slots=1\n")
	}
	for name, text := range map[string]string{
		FileHostfile: hostfile.String(), FileConfig: config(hosts), FileAuthorized: clientLine, FileKnown: "* " + hostLine, FileKey: client, FileHostKey: host,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o444); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o444); err != nil { // whatever the umask is
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil // there are no sessions of several containers then
	}
	return errors.Join(os.Chown(filepath.Join(dir, FileKey), keyOwner, keyOwner), os.Chown(filepath.Join(dir, FileHostKey), keyOwner, keyOwner))
}

// config is what an ssh that is started in a container goes by. It speaks of the session's containers alone: hosts of the world
// may begin with the same letters. Those that are named after the session end with their host's name.
func config(hosts []string) string {
	names := slices.Clone(hosts)
	for _, host := range hosts[min(1, len(hosts)):] {
		names = append(names, "*-"+host)
	}
	return fmt.Sprintf(`# Of Palisade: how the containers of this session reach each other. ssh -F %[1]s/ssh_config sub1
Host %[3]s
	Port %[2]d
	IdentityFile %[1]s/key
	IdentitiesOnly yes
	UserKnownHostsFile %[1]s/known_hosts
	StrictHostKeyChecking yes
	PasswordAuthentication no
	LogLevel ERROR
`, Mount, Port, strings.Join(names, " "))
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
