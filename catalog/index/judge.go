package index

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/palisade-run/palisade/catalog/signature"
)

// standing is what is known of a catalog's signature.
type standing struct {
	manifest *Manifest
	digest   string // of the index.yaml; empty: it has none
	key      string // who signed it, of those that are trusted; empty: nobody
	why      error  // why nobody: signature.ErrUnsigned, ErrUntrusted, ErrAltered or ErrInvalid
}

// believed finds out who signed an index. An error is about an index that cannot be read.
func believed(index []byte, sigs signatures, keys []signature.Key) (standing, error) {
	s := standing{digest: sum(index), why: &signature.Error{Kind: signature.ErrUnsigned, Text: "it is not signed"}}
	for _, name := range signed() { // the first one that holds counts, and the worst of the others is told
		if len(sigs[name]) == 0 {
			continue
		}
		found, err := signature.Verify(keys, bytes.NewReader(index), sigs[name])
		if err == nil {
			s.key, s.why = found.Key.ID(), nil
			break
		}
		if !errors.Is(s.why, signature.ErrAltered) {
			s.why = err
		}
	}
	m, err := ParseManifest(index)
	s.manifest = &m
	return s, err
}

// read finds out the standing of a catalog that lies in files. One without an index has nobody's signature.
func read(files fs.FS, keys []signature.Key) (standing, error) {
	index, err := fs.ReadFile(files, IndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return standing{why: &signature.Error{Kind: signature.ErrUnsigned, Text: "it has no " + IndexFile + " and is not signed"}}, nil
	} else if err != nil {
		return standing{}, fmt.Errorf("reading %s: %w", IndexFile, err)
	}
	sigs := signatures{}
	for _, name := range signed() {
		if sig, err := fs.ReadFile(files, name); err == nil {
			sigs[name] = sig
		}
	}
	return believed(index, sigs, keys)
}

// Trust is what an owner says at a command about whom to believe.
type Trust struct {
	Unsigned bool   // take it though nobody that is trusted has signed it
	Key      string // ID of another trusted key that signs from now on
}

// admit decides whether what came may take the place of what is here, by who signed it:
//
//  1. What somebody altered under a trusted signature is never taken.
//  2. What nobody signed that is trusted is taken only where the owner has said so, for this catalog, while it had no
//     signature yet, or now.
//  3. Another key than the one before is taken only where the owner names it.
//  4. A signed index with a smaller serial than the largest one seen, or another one with the same, is refused, unless the
//     catalog is pinned to just that.
func admit(c Catalog, s standing, t Trust) error {
	if errors.Is(s.why, signature.ErrAltered) { // 1
		return refused(c, s.why, "")
	}
	if s.key == "" { // 2
		if t.Unsigned || c.Unsigned && c.Key == "" {
			return nil
		}
		hint := ""
		if errors.Is(s.why, signature.ErrUnsigned) {
			hint = "if you believe whoever can write there: --allow-unsigned"
			if c.Key != "" {
				hint = "it was signed by " + c.Key + " before: ask its maker"
			}
		}
		return refused(c, s.why, hint)
	}
	if c.Key != "" && c.Key != s.key && t.Key != s.key { // 3
		return &fault{kind: ErrOtherKey, text: fmt.Sprintf("catalog %s was signed by %s, and is now signed by %s", c.Name, c.Key, s.key),
			hint: "if its maker says so: palisade catalog update " + c.Name + " --accept-key " + s.key}
	}
	switch { // 4
	case c.Key == "" || c.Pin != "":
		return nil
	case s.manifest.Serial < c.Serial:
		return &fault{kind: ErrOlder, text: fmt.Sprintf("catalog %s has come with the serial %d, and had %d before", c.Name, s.manifest.Serial, c.Serial),
			hint: "somebody shows you an old one, or its maker went back; what is here stays in use"}
	case s.manifest.Serial == c.Serial && c.Digest != s.digest:
		return &fault{kind: ErrOlder, text: fmt.Sprintf("catalog %s has come with the serial %d that it has, and other content", c.Name, c.Serial),
			hint: "its maker raises the serial with every change; palisade catalog sign does"}
	}
	return nil
}

func refused(c Catalog, why error, hint string) error {
	return &fault{kind: errRefused, text: "catalog " + c.Name + " is not taken", cause: why, hint: hint}
}

var errRefused = errors.New("refused")

// whole compares the files with the index. Files that the index does not name are said, and are to be left out.
func whole(files fs.FS, m Manifest) (beside []string, err error) {
	members := m.members()
	for name, member := range members {
		src, err := fs.ReadFile(files, name)
		if err != nil || sum(src) != member.SHA256 {
			return nil, mismatch(name)
		}
	}
	dirs, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		inside, err := fs.ReadDir(files, d.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the catalog: %w", err)
		}
		for _, f := range inside {
			if name := d.Name() + "/" + f.Name(); members[name].SHA256 == "" {
				beside = append(beside, name)
			}
		}
	}
	slices.Sort(beside)
	return beside, nil
}
