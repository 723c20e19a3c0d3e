package folders

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// ListOrder is what the entries of a directory are sorted by. Directories come before files.
type ListOrder string

// The orders.
const (
	OrderName ListOrder = "name"
	OrderSize ListOrder = "size" // directories by name
	OrderTime ListOrder = "time"
)

// ListQuery asks for a part of a directory.
type ListQuery struct {
	Order   ListOrder // "": OrderName
	Reverse bool
	Match   string // a part of the name, whether in capitals or not; "": all
	Offset  int    // entries that are left out before
	Limit   int    // entries at most
}

// Listing is a part of a directory.
type Listing struct {
	Entries     []Entry
	Directories int // that match, in all
	Files       int
}

// Directory lists a part of a directory of a folder, "" for its root. Of one that is sorted by name, only what is shown is looked
// at: it may have a million entries. ErrNotFound, ErrInvalid.
func (fo *Keeper) Directory(f Folder, dir string, q ListQuery) (l Listing, err error) {
	if is, err := fo.shortly(f, Operation{Do: doDirectory, Path: dir, List: &q}, &l); is {
		return l, err
	}
	root, name, err := enter(f, dir)
	if err != nil {
		return Listing{}, err
	}
	defer root.Close()
	found, err := readNames(root, name)
	if err != nil {
		return Listing{}, err
	}
	match := strings.ToLower(q.Match)
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		if name == "." && e.Name() == partsDir || match != "" && !strings.Contains(strings.ToLower(e.Name()), match) {
			continue
		}
		entry := Entry{Name: e.Name(), Dir: e.IsDir(), Link: e.Type()&fs.ModeSymlink != 0}
		if entry.Link || cmp.Or(q.Order, OrderName) != OrderName { // where a link leads decides where it stands
			entry = look(root, name, entry)
		}
		entries = append(entries, entry)
	}
	var out Listing
	for i := range entries {
		if entries[i].Dir {
			out.Directories++
		}
	}
	out.Files = len(entries) - out.Directories
	from := min(max(0, q.Offset), len(entries))
	to := min(from+max(0, q.Limit), len(entries))
	for _, e := range first(entries, to, order(q))[from:] {
		if e.Modified.IsZero() && !e.Link {
			e = look(root, name, e)
		}
		out.Entries = append(out.Entries, e)
	}
	return out, nil
}

// first are the first n entries in an order. Of many, few are asked for: not all of them are sorted. entries are in another order then.
func first(entries []Entry, n int, by func(a, b Entry) int) []Entry {
	if n*8 < len(entries) {
		best := &heaped{entries[:n:n], by}
		heap.Init(best)
		for i := n; n > 0 && i < len(entries); i++ {
			if by(entries[i], best.entries[0]) < 0 {
				best.entries[0] = entries[i]
				heap.Fix(best, 0)
			}
		}
		entries = best.entries
	}
	slices.SortFunc(entries, by)
	return entries[:n]
}

// heaped has the last of its entries on top.
type heaped struct {
	entries []Entry
	by      func(a, b Entry) int
}

func (h *heaped) Len() int           { return len(h.entries) }
func (h *heaped) Less(i, j int) bool { return h.by(h.entries[i], h.entries[j]) > 0 }
func (h *heaped) Swap(i, j int)      { h.entries[i], h.entries[j] = h.entries[j], h.entries[i] }
func (h *heaped) Push(any)           {} // it has as many as it has
func (h *heaped) Pop() any           { return nil }

// readNames returns what is in a directory, without looking at each.
func readNames(root *os.Root, name string) ([]fs.DirEntry, error) {
	d, err := openDir(root, name)
	if errors.Is(err, syscall.ENOTDIR) {
		if _, there := root.Stat(name); there == nil {
			return nil, &fault{kind: ErrInvalid, message: name + " is not a directory"}
		}
	}
	if err != nil {
		return nil, explainPath(name, err)
	}
	defer d.Close()
	found, err := d.ReadDir(maxListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("listing %s: %w", name, err)
	}
	if len(found) > maxListed {
		return nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("%s has more than %d entries", name, maxListed), hint: "look at it from a session that mounts the folder"}
	}
	return found, nil
}

// look fills in what an entry is now. One that has gone since, or is a link to nowhere, stays as its directory has it.
func look(root *os.Root, dir string, e Entry) Entry {
	info, err := root.Lstat(filepath.Join(dir, e.Name))
	if err != nil {
		return e
	}
	if e.Link = info.Mode()&fs.ModeSymlink != 0; e.Link {
		if target, err := root.Stat(filepath.Join(dir, e.Name)); err == nil {
			info = target
		}
	}
	e.Dir, e.Size, e.Modified = info.IsDir(), info.Size(), info.ModTime()
	e.Executable = info.Mode().IsRegular() && info.Mode()&0o100 != 0
	return e
}

// order compares entries: directories first, then as the query says, then by name.
func order(q ListQuery) func(a, b Entry) int {
	return func(a, b Entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		by := 0
		switch q.Order {
		case OrderSize:
			if !a.Dir {
				by = cmp.Compare(a.Size, b.Size)
			}
		case OrderTime:
			by = a.Modified.Compare(b.Modified)
		}
		if by == 0 {
			by = byName(a.Name, b.Name)
		}
		if q.Reverse {
			return -by
		}
		return by
	}
}

// byName sorts as people count: part-2 before part-10.
func byName(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if digit(x[0]) && digit(y[0]) {
			nx, ny := number(x), number(y)
			if c := cmp.Or(cmp.Compare(len(trim(nx)), len(trim(ny))), strings.Compare(trim(nx), trim(ny))); c != 0 {
				return c
			}
			x, y = x[len(nx):], y[len(ny):]
			continue
		}
		rx, nx := utf8.DecodeRuneInString(x)
		ry, ny := utf8.DecodeRuneInString(y)
		if c := cmp.Compare(rx, ry); c != 0 {
			return c
		}
		x, y = x[nx:], y[ny:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// number is the number that a name begins with.
func number(s string) string {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n]
}

func trim(n string) string { return strings.TrimLeft(n, "0") }
