package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the files in a node's directory. Each is replaced as a whole: a crash leaves the old one or the new one.
const (
	nodeFile     = "node.pem"      // private key, certificate, and certificates by which authorities vouch for each other
	rootsFile    = "ca.pem"        // authorities that are believed
	sealFile     = "node.age"      // what the cluster key comes sealed to
	clusterFile  = "cluster.key"   // of approved nodes alone
	deniedFile   = "removed.json"  // what is believed no more
	crlFile      = "removed.crl"   // the same for etcd
	pendingFile  = "joining.json"  // where this box is asking to be let in
	foundingFile = "founding.json" // what waits to be put on the shelf of a new cluster
)

// write puts content into the place of a file's, all of it or none, readable by its owner alone.
func write(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, ".trust-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return syncDir(dir)
}

// remove is no error where there is no such file.
func remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing below %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing below %s: %w", dir, err)
	}
	return nil
}

// read returns a file of secrets; it fails where others than its owner may read it.
func read(dir, name string) ([]byte, error) {
	file := filepath.Join(dir, name)
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, hinted("chmod 600 "+file+"; and if others use this box, remove it from the cluster and join anew",
			"%s may be read by others than its owner (mode %o)", file, mode)
	}
	return os.ReadFile(file)
}
