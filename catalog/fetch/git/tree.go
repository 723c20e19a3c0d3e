package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/palisade-run/palisade/catalog/fetch"
)

const (
	mostEntries  = 200_000 // of a tree: directories may be there many times over without taking room in git
	longestLink  = 4096
	mostLinks    = 8 // from link to link
	largePointer = 1024
)

// files lists the files of the commit. A symbolic link stands for the file that it leads to, as long as that is one of the
// commit; others, and other repositories inside this one, are left out.
func (c clone) files(ctx context.Context) ([]fetch.File, error) {
	commit, err := object.GetCommit(c.objects, c.commit)
	if err != nil {
		return nil, err
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, err
	}
	walk := object.NewTreeWalker(tree, true, nil)
	defer walk.Close()
	var files []fetch.File
	links, entries := map[string]string{}, 0
	for {
		name, entry, err := walk.Next()
		if errors.Is(err, io.EOF) {
			return append(files, follow(files, links)...), nil
		}
		if err != nil {
			return nil, err
		}
		if entries++; entries > mostEntries {
			return nil, fetch.Say(fetch.ErrRefused, "", "it has more than %d files and directories", mostEntries)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch entry.Mode {
		case filemode.Regular, filemode.Deprecated, filemode.Executable:
			f, err := c.file(name, entry)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", name, err)
			}
			files = append(files, f)
		case filemode.Symlink:
			to, err := c.text(entry.Hash, longestLink)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", name, err)
			}
			links[name] = string(to)
		}
	}
}

func (c clone) file(name string, entry object.TreeEntry) (fetch.File, error) {
	size, err := c.objects.EncodedObjectSize(entry.Hash)
	if err != nil {
		return fetch.File{}, err
	}
	f := fetch.File{Name: name, Bytes: size, Git: entry.Hash.String(), At: entry.Hash.String(), Run: entry.Mode == filemode.Executable}
	if size > largePointer {
		return f, nil
	}
	text, err := c.text(entry.Hash, largePointer)
	if err != nil {
		return fetch.File{}, err
	}
	if sum, size, is := pointer(text); is {
		f.SHA256, f.Bytes, f.Git, f.At = sum, size, "", sum
	}
	return f, nil
}

// follow are the files that links lead to, under the names of the links.
func follow(files []fetch.File, links map[string]string) []fetch.File {
	byName := make(map[string]fetch.File, len(files))
	for _, f := range files {
		byName[f.Name] = f
	}
	var out []fetch.File
	for name := range links {
		at := name
		for range mostLinks {
			to, is := links[at]
			if !is || path.IsAbs(to) {
				break
			}
			at = path.Join(path.Dir(at), to)
		}
		if f, ok := byName[at]; ok {
			f.Name = name
			out = append(out, f)
		}
	}
	return out
}

// pointer reads what stands in git in the place of a large file.
func pointer(text []byte) (sum string, size int64, is bool) {
	rest, is := bytes.CutPrefix(text, []byte("version https://git-lfs.github.com/spec/v1\n"))
	if !is {
		return "", 0, false
	}
	size = -1
	for line := range strings.SplitSeq(string(rest), "\n") {
		switch key, value, _ := strings.Cut(line, " "); key {
		case "oid":
			sum, _ = strings.CutPrefix(value, "sha256:")
		case "size":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return "", 0, false
			}
			size = n
		}
	}
	return sum, size, size >= 0 && fetch.IsSHA256(sum)
}

// configured is the address of the store of large files that a repository names itself, in .lfsconfig; empty: none.
func (c clone) configured() (string, error) {
	commit, err := object.GetCommit(c.objects, c.commit)
	if err != nil {
		return "", err
	}
	file, err := commit.File(".lfsconfig")
	if errors.Is(err, object.ErrFileNotFound) || errors.Is(err, plumbing.ErrObjectNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := c.text(file.Hash, 64<<10)
	if err != nil {
		return "", err
	}
	return storeOf(text), nil
}
