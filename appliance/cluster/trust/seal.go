package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"filippo.io/age"
)

// purposes are sealed in: what was sealed for one thing opens nothing in the place of another.
const (
	forAuthority = "palisade: the key of a cluster's authority"
	forCluster   = "palisade: a cluster's key"
)

// ClusterKey opens the key of the authority. Each approved node has it. It does not show itself when it is printed or
// logged.
type ClusterKey struct{ identity *age.X25519Identity }

// String implements fmt.Stringer.
func (ClusterKey) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (ClusterKey) GoString() string { return "(secret)" }

// LogValue implements slog.LogValuer.
func (ClusterKey) LogValue() slog.Value { return slog.StringValue("(secret)") }

// newKey makes a key that seals: a cluster's, or the one that a node has what it gets sealed to.
func newKey() (ClusterKey, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return ClusterKey{}, fmt.Errorf("making a key: %w", err)
	}
	return ClusterKey{identity}, nil
}

// parseKey takes one line AGE-SECRET-KEY-..., and comments.
func parseKey(text []byte, file string) (ClusterKey, error) {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		identity, err := age.ParseX25519Identity(line)
		if err != nil {
			break // its words may hold the key
		}
		return ClusterKey{identity}, nil
	}
	return ClusterKey{}, hinted("bring the file back from a backup, or remove this box from the cluster and join anew", "%s holds no key: %w", file, ErrInvalid)
}

func (k ClusterKey) file() []byte {
	return []byte("# A key of this appliance's cluster (age). Whoever has it can let boxes in: back it up, apart from the data.\n" + k.identity.String() + "\n")
}

// seal encrypts what only the holder of the key behind recipient shall open.
func seal(recipient age.Recipient, purpose string, content []byte) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err == nil {
		_, err = w.Write(append([]byte(purpose+"\x00"), content...))
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed.Bytes(), nil
}

const mostSealed = 16 << 10

func (k ClusterKey) open(purpose string, sealed []byte) ([]byte, error) {
	if k.identity == nil {
		return nil, fmt.Errorf("opening what is sealed: %w: there is no key", ErrInvalid)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), k.identity)
	if err != nil {
		return nil, fmt.Errorf("opening what is sealed: %w: it was sealed with another key, or changed", ErrInvalid)
	}
	content, err := io.ReadAll(io.LimitReader(r, mostSealed))
	if err != nil {
		return nil, fmt.Errorf("opening what is sealed: %w: it was changed", ErrInvalid)
	}
	content, ok := bytes.CutPrefix(content, []byte(purpose+"\x00"))
	if !ok {
		return nil, fmt.Errorf("opening what is sealed: %w: it was sealed for something else", ErrInvalid)
	}
	return content, nil
}
