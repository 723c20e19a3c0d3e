package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
)

// VerifyWish is what is to be verified.
type VerifyWish struct {
	Project string
	Model   string // empty: all of the project
	Repair  bool   // what is damaged is fetched again
}

// Check is how far a verification is, and what it found.
type Check struct {
	Models, Files int   // that are verified
	Done          int   // files
	Bytes, Read   int64 // of all files, each once; of these, that were read
	Current       string
	Damaged       []Damage
}

// Damage is a file that is not what was installed.
type Damage struct {
	Model    string
	Revision int
	File     string
	Problem  string
	Repaired bool
	Failed   string // why it could not be repaired
}

// Verify reads all files of models and compares their checksums. tell is told now and then, and at every damage. A file of which
// several models have the same bytes is read once. An error is of the verification itself; damage is in the answer.
func (m *Manager) Verify(ctx context.Context, w VerifyWish, tell func(Check)) (Check, error) {
	models := m.Models(w.Project)
	if w.Model != "" {
		one, err := m.Model(w.Project, w.Model)
		if err != nil {
			return Check{}, err
		}
		models = []Model{one}
	}
	v := &verifier{m: m, tell: tell, seen: map[[2]uint64]string{}, known: map[string]bool{}}
	for _, one := range models {
		v.count(one)
	}
	for _, one := range models {
		for _, r := range one.Revisions {
			if err := v.revision(ctx, one, r, w.Repair); err != nil {
				return v.Check, err
			}
		}
	}
	v.Current = ""
	return v.Check, nil
}

// verifier is one call of Verify.
type verifier struct {
	Check
	m     *Manager
	tell  func(Check)
	known map[string]bool      // checksums that are counted
	seen  map[[2]uint64]string // what files hold, by device and inode
}

func (v *verifier) count(model Model) {
	v.Models++
	for _, r := range model.Revisions {
		if r.Folder == "" {
			continue
		}
		v.Files += len(r.Files)
		for _, f := range r.Files {
			if !v.known[f.SHA256] {
				v.known[f.SHA256] = true
				v.Bytes += f.Bytes
			}
		}
	}
}

func (v *verifier) revision(ctx context.Context, model Model, r Revision, repair bool) error {
	if r.Folder == "" {
		return nil
	}
	root, err := v.open(ctx, model, r)
	if err != nil || root == nil {
		return err
	}
	defer root.Close()
	var damaged []File
	from := len(v.Damaged)
	for _, f := range r.Files {
		v.Current = fmt.Sprintf("%s, revision %d: %s", model.Name, r.Number, f.Name)
		problem, err := v.file(ctx, root, f)
		if err != nil {
			return err
		}
		v.Done++
		if problem != "" {
			damaged = append(damaged, f)
			v.Damaged = append(v.Damaged, Damage{Model: model.Name, Revision: r.Number, File: f.Name, Problem: problem})
		}
		v.tell(v.Check)
	}
	if !repair || len(damaged) == 0 {
		return nil
	}
	failed := v.repair(ctx, root, r, damaged)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range v.Damaged[from:] {
		if d := &v.Damaged[from+i]; failed == nil {
			d.Repaired = true
		} else {
			d.Failed = failed.Error()
		}
	}
	v.tell(v.Check)
	return nil
}

// open opens a revision's folder; nil where that is gone, which is noted as the damage that it is.
func (v *verifier) open(ctx context.Context, model Model, r Revision) (*os.Root, error) {
	f, err := v.m.Folders.Find(ctx, model.Project, r.Folder)
	var root *os.Root
	if err == nil {
		root, err = f.OpenRoot()
	}
	if errors.Is(err, folders.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		v.Done += len(r.Files)
		v.Damaged = append(v.Damaged, Damage{Model: model.Name, Revision: r.Number, Problem: "its folder is gone", Failed: "install it again: palisade model update " + model.Name})
		v.tell(v.Check)
		return nil, nil
	}
	return root, err
}

// file says what is wrong with a file; "": nothing.
func (v *verifier) file(ctx context.Context, root *os.Root, want File) (problem string, err error) {
	file, err := root.Open(want.Name)
	if err != nil {
		v.Read = min(v.Read+want.Bytes, v.Bytes)
		if errors.Is(err, fs.ErrNotExist) {
			return "it is gone", nil
		}
		return err.Error(), nil // a link in its place, an input/output error
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "it is no file any more", nil
	}
	if info.Size() != want.Bytes {
		v.Read = min(v.Read+want.Bytes, v.Bytes)
		return fmt.Sprintf("it has %d bytes, and should have %d", info.Size(), want.Bytes), nil
	}
	id := [2]uint64{}
	if st, is := info.Sys().(*syscall.Stat_t); is {
		id = [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // on other processors it is no uint64
	}
	sum, is := v.seen[id]
	if !is || id == ([2]uint64{}) {
		if sum, err = v.sum(ctx, file); err != nil {
			return "", err
		}
		v.seen[id] = sum
	}
	if sum == "" {
		return "the disk cannot read it", nil
	}
	if sum != want.SHA256 {
		return fmt.Sprintf("its checksum is %.12s…, and should be %.12s…", sum, want.SHA256), nil
	}
	return "", nil
}

// sum is the checksum of what a file holds; empty where the disk cannot read it.
func (v *verifier) sum(ctx context.Context, file io.Reader) (string, error) {
	h, buffer := sha256.New(), make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := file.Read(buffer)
		_, _ = h.Write(buffer[:n]) // never fails
		v.Read = min(v.Read+int64(n), v.Bytes)
		v.tell(v.Check)
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(h.Sum(nil)), nil
		case errors.Is(err, syscall.EIO):
			return "", nil
		case err != nil:
			return "", err
		}
	}
}

// repair fetches files of a revision anew, from where they came, and puts them into its folder. Who has them open goes on with
// the damaged ones until it is restarted.
func (v *verifier) repair(ctx context.Context, root *os.Root, r Revision, damaged []File) error {
	if r.From == "" {
		return errors.New("nothing says where it came from")
	}
	ref, err := fetch.ParseRef(r.From)
	if err != nil {
		return err
	}
	if r.Pin != "" && ref.Scheme != "file" {
		ref.Revision = r.Pin
	}
	source, _ := r.Recipe.Source(r.Choice.Source)
	from, err := v.m.Places.Source(ctx, ref, Asker{Secret: source.Secret, ByHand: r.Origin == ""})
	if err != nil {
		return err
	}
	listing, err := from.List(ctx, ref)
	if err != nil {
		return err
	}
	wanted := func(name string) int { return slices.IndexFunc(damaged, func(f File) bool { return f.Name == name }) }
	listing.Files = slices.DeleteFunc(listing.Files, func(f fetch.File) bool { return f.Unpack == "" && wanted(f.Name) < 0 })
	listing.Ref.Files = nil // those that are whole are not missed
	for _, f := range damaged {
		listing.Ref.Files = append(listing.Ref.Files, f.Name)
	}
	for i, f := range listing.Files {
		if at := wanted(f.Name); at >= 0 {
			listing.Files[i].SHA256 = damaged[at].SHA256 // what was installed, and nothing else
		}
	}
	for _, f := range damaged { // what is damaged here is so among the bytes, too: it must not be taken for good
		if err := v.m.Blobs.Verify(ctx, f.SHA256, nil); err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	got, err := v.m.Places.Fetch(ctx, from, listing, func(t Transfer) {
		v.Current = "fetching " + t.Current
		v.tell(v.Check)
	})
	if err != nil {
		return err
	}
	for _, f := range damaged {
		if !slices.ContainsFunc(got, func(g File) bool { return g.Name == f.Name && g.SHA256 == f.SHA256 }) {
			return fmt.Errorf("%s is not at its place any more as it was installed", f.Name)
		}
		if err := v.m.Blobs.Link(f.SHA256, root, f.Name); err != nil {
			return err
		}
	}
	return nil
}
