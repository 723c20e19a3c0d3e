package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) folderCopy() *cobra.Command {
	return &cobra.Command{
		Use: "cp SOURCE... TARGET", Short: "Copy files and directories into a folder, or out of one",
		Long: "Copy files, or directories with all that is in them, into a folder or out of one. One of the two is\n" +
			"FOLDER:PATH, the other a path on this machine (write ./a:b where that has a colon in it). As with cp, a\n" +
			"target that is a directory, or ends in /, gets the source into it, and of several sources each. What may be\n" +
			"run stays so, and files keep their times. A copy that is cut off goes on by itself; started again, it goes on where it was, and leaves\n" +
			"out files that are there already with the same size and time.",
		Example: "  palisade folder cp ./my-model/. qwen:           # what is in the directory\n" +
			"  palisade folder cp weights.gguf qwen:weights/\n  palisade folder cp qwen:logs/run.txt .",
		Args: words("SOURCE... TARGET", 2, -1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if strings.ContainsAny(word, "/.") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			names, _ := a.completeAt(-1, a.folderNames)(cmd, args, word)
			for i, n := range names {
				name, what, _ := strings.Cut(n, "\t")
				names[i] = name + ":\t" + what
			}
			return names, cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to, err := parsePlaces(args)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			// An appliance that is not there is said at once; later, it is waited for.
			if _, err := c.Folder(cmd.Context(), from[0].folder+to.folder); err != nil {
				return err
			}
			t := &transfer{app: a, client: c, show: a.newMeter(), begin: a.now()}
			defer t.close()
			err = t.copyAll(cmd.Context(), from, to)
			t.show.clear()
			if err != nil {
				return err
			}
			return t.summary()
		},
	}
}

// copyPlace is one side of a copy.
type copyPlace struct {
	folder string // "" for this machine
	path   string
}

// parsePlace reads FOLDER:PATH, or a path on this machine: what begins with . or / or has no colon.
func parsePlace(word string) copyPlace {
	ref, rest, ok := strings.Cut(word, ":")
	if !ok || ref == "" || strings.ContainsAny(ref, "/") || strings.HasPrefix(ref, ".") {
		return copyPlace{path: word}
	}
	return copyPlace{folder: ref, path: rest}
}

// parsePlaces reads the words of a copy: several sources are of one side, and the target is a directory that gets each.
func parsePlaces(words []string) (from []copyPlace, to copyPlace, err error) {
	to = parsePlace(words[len(words)-1])
	named := map[string]bool{}
	for _, word := range words[:len(words)-1] {
		f := parsePlace(word)
		if (f.folder == "") == (to.folder == "") {
			return nil, to, &usageError{
				message: "one of SOURCE and TARGET must be FOLDER:PATH, the other a path on this machine",
				hint:    "for example: palisade folder cp ./model.gguf my-folder:",
			}
		}
		name := path.Base(filepath.ToSlash(f.path))
		if named[name] {
			return nil, to, &usageError{message: fmt.Sprintf("two sources are named %s: one would take the place of the other", name), hint: "copy them one after the other, each to a place of its own"}
		}
		named[name] = !strings.HasSuffix(f.path, "/.") && name != "."
		from = append(from, f)
	}
	if len(from) > 1 && to.path != "" {
		to.path += "/"
	}
	return from, to, nil
}

// copyAll copies all of the sources, if each of them can be.
func (t *transfer) copyAll(ctx context.Context, from []copyPlace, to copyPlace) error {
	var jobs []copyJob
	for _, f := range from {
		find := func() ([]copyJob, error) { return t.down(ctx, f, to.path) }
		if to.folder != "" {
			find = func() ([]copyJob, error) { return t.up(ctx, f.path, to) }
		}
		more, err := find()
		if err != nil {
			return err
		}
		jobs = append(jobs, more...)
	}
	return t.all(ctx, jobs)
}

// up finds what is to be done to copy a local file or directory into a folder.
func (t *transfer) up(ctx context.Context, source string, to copyPlace) ([]copyJob, error) {
	info, err := os.Stat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &usageError{message: fmt.Sprintf("%s: there is no such file or directory", source)}
	}
	if err != nil {
		return nil, err
	}
	target := to.path
	// Into the target where that is a directory, as cp does; "DIR/." means what is in DIR.
	contents := strings.HasSuffix(source, "/.") || source == "."
	if !contents && (target == "" || strings.HasSuffix(target, "/") || t.entry(ctx, to).Type == "directory") {
		target = path.Join(target, filepath.Base(source))
	}
	if !info.IsDir() {
		return []copyJob{t.upJob(to.folder, target, info, func() (*os.File, error) { return os.Open(source) })}, nil
	}
	root, err := t.openRoot(source)
	if err != nil {
		return nil, err
	}
	return t.upJobs(ctx, root, source, copyPlace{to.folder, target})
}

// upJobs are the files of a directory. Directories in which there is nothing are made.
func (t *transfer) upJobs(ctx context.Context, root *os.Root, source string, to copyPlace) ([]copyJob, error) {
	there := t.entries(ctx, to)
	var jobs []copyJob
	err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if empty, err := isEmpty(root, name); err != nil || !empty || path.Join(to.path, name) == "." {
				return err
			}
			return t.client.MakeDirectory(ctx, to.folder, path.Join(to.path, name))
		}
		// The root follows links that stay in the directory, and refuses those that lead out of it.
		info, err := root.Stat(name)
		switch {
		case err != nil && entry.Type()&fs.ModeSymlink != 0:
			return &hinted{fmt.Errorf("%s is a link that leads out of %s, or nowhere", name, source), "copy what it leads to by itself, or remove the link"}
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			t.say("left out: " + name + " is no plain file")
			return nil
		}
		target := path.Join(to.path, name)
		if e, ok := there[target]; ok && sameFile(e, info) {
			t.skip()
			return nil
		}
		jobs = append(jobs, t.upJob(to.folder, target, info, func() (*os.File, error) { return root.Open(name) }))
		return nil
	})
	return jobs, err
}

func isEmpty(root *os.Root, name string) (bool, error) {
	dir, err := root.Open(name)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	found, err := dir.Readdirnames(1)
	return len(found) == 0, ignoreEOF(err)
}

// sameFile reports whether a folder has a file already, as far as size, time and what may be run tell.
func sameFile(e api.Entry, info fs.FileInfo) bool {
	return e.Type == "file" && e.Size == info.Size() && e.ModTime.Equal(info.ModTime()) && e.Executable == (info.Mode()&0o100 != 0)
}

func (t *transfer) upJob(folder, target string, info fs.FileInfo, open func() (*os.File, error)) copyJob {
	return copyJob{name: target, size: info.Size(), do: func(ctx context.Context, tell api.Progress) error {
		file, err := open()
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err = t.client.Upload(ctx, folder, api.Upload{
			Path: target, Body: file, Size: info.Size(), Executable: info.Mode()&0o100 != 0, Modified: info.ModTime(),
		}, tell); err != nil {
			return fmt.Errorf("copying to %s:%s: %w", folder, oneLine(target), err)
		}
		now, err := file.Stat()
		if err == nil && (now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime())) {
			return &hinted{fmt.Errorf("copying to %s:%s: the file changed meanwhile", folder, oneLine(target)), "copy it again when nobody writes to it"}
		}
		return err
	}}
}

// entry is what a folder has at a path; only a Path where it has nothing there, or cannot be asked: copying says why.
func (t *transfer) entry(ctx context.Context, p copyPlace) api.Entry {
	wanted := api.Entry{Path: strings.Trim(path.Clean("/"+p.path), "/")}
	entries, err := t.client.Entries(ctx, p.folder, path.Dir("/"+wanted.Path), false)
	if err != nil {
		return wanted
	}
	for _, e := range entries {
		if e.Path == wanted.Path {
			return e
		}
	}
	return wanted
}

// entries are all that a folder has below a path, by their paths; none where there is no such directory.
func (t *transfer) entries(ctx context.Context, p copyPlace) map[string]api.Entry {
	found, err := t.client.Entries(ctx, p.folder, p.path, true)
	if err != nil {
		return nil
	}
	out := make(map[string]api.Entry, len(found))
	for _, e := range found {
		out[e.Path] = e
	}
	return out
}
