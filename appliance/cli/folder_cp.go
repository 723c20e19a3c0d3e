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
		Use: "cp SOURCE TARGET", Short: "Copy files and directories into a folder, or out of one",
		Long: "Copy a file, or a directory with all that is in it, into a folder or out of one. One of the two is\n" +
			"FOLDER:PATH, the other a path on this machine (write ./a:b where that has a colon in it). As with cp, a\n" +
			"target that is a directory, or ends in /, gets the source into it. What may be run stays so, and files keep\n" +
			"their times. A copy that is cut off goes on by itself; started again, it goes on where it was, and leaves\n" +
			"out files that are there already with the same size and time.",
		Example: "  palisade folder cp ./my-model/. qwen:           # what is in the directory\n" +
			"  palisade folder cp weights.gguf qwen:weights/\n  palisade folder cp qwen:logs/run.txt .",
		Args: words("SOURCE TARGET", 2, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if strings.ContainsAny(word, "/.") || len(args) > 1 {
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
			from, to := parsePlace(args[0]), parsePlace(args[1])
			if (from.folder == "") == (to.folder == "") {
				return &usageError{
					message: "one of SOURCE and TARGET must be FOLDER:PATH, the other a path on this machine",
					hint:    "for example: palisade folder cp ./model.gguf my-folder:",
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			// An appliance that is not there is said at once; later, it is waited for.
			if _, err := c.Folder(cmd.Context(), from.folder+to.folder); err != nil {
				return err
			}
			t := &transfer{app: a, client: c, show: a.newMeter(), begin: a.now()}
			if to.folder != "" {
				err = t.up(cmd.Context(), from.path, to)
			} else {
				err = t.down(cmd.Context(), from, to.path)
			}
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

// up copies a local file or directory into a folder.
func (t *transfer) up(ctx context.Context, source string, to copyPlace) error {
	info, err := os.Stat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return &usageError{message: fmt.Sprintf("%s: there is no such file or directory", source)}
	}
	if err != nil {
		return err
	}
	target := to.path
	// Into the target where that is a directory, as cp does; "DIR/." means what is in DIR.
	contents := strings.HasSuffix(source, "/.") || source == "."
	if !contents && (target == "" || strings.HasSuffix(target, "/") || t.entry(ctx, to).Type == "directory") {
		target = path.Join(target, filepath.Base(source))
	}
	if !info.IsDir() {
		return t.all(ctx, []copyJob{t.upJob(to.folder, target, info, func() (*os.File, error) { return os.Open(source) })})
	}
	root, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer root.Close()
	jobs, err := t.upJobs(ctx, root, source, copyPlace{to.folder, target})
	if err != nil {
		return err
	}
	return t.all(ctx, jobs)
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

// down copies a file or directory of a folder to this machine.
func (t *transfer) down(ctx context.Context, from copyPlace, target string) error {
	clean := strings.Trim(path.Clean("/"+from.path), "/")
	contents := clean == "" || strings.HasSuffix(from.path, "/.")
	into, err := os.Stat(target)
	isDir := err == nil && into.IsDir()
	if e := t.entry(ctx, from); clean != "" && e.Type != "directory" {
		name := filepath.Base(target)
		dir := filepath.Dir(target)
		if isDir || strings.HasSuffix(target, "/") {
			dir, name = target, path.Base(clean)
		}
		return t.inDir(dir, func(root *os.Root) error { return t.all(ctx, []copyJob{t.downJob(from.folder, e, root, name)}) })
	}
	if into != nil && !isDir {
		return &usageError{message: fmt.Sprintf("%s is a file; a directory cannot be copied over it", target)}
	}
	if !contents && (isDir || strings.HasSuffix(target, "/")) {
		target = filepath.Join(target, path.Base(clean))
	}
	entries, err := t.client.Entries(ctx, from.folder, clean, true)
	if err != nil {
		return err
	}
	return t.inDir(target, func(root *os.Root) error {
		var jobs []copyJob
		for _, e := range entries {
			name := strings.TrimPrefix(strings.TrimPrefix(e.Path, clean), "/")
			switch {
			case e.Type == "directory" && e.Link:
				t.say("left out: " + oneLine(e.Path) + " is a link to a directory")
			case e.Type == "directory":
				if err := mkdirIn(root, name); err != nil {
					return err
				}
			default:
				if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && sameFile(e, info) {
					t.skip()
					continue
				}
				jobs = append(jobs, t.downJob(from.folder, e, root, name))
			}
		}
		return t.all(ctx, jobs)
	})
}

// inDir runs do on a directory that is made where it is missing. Nothing that the daemon says leads out of it.
func (t *transfer) inDir(dir string, do func(root *os.Root) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root)
}

func mkdirIn(root *os.Root, name string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("the folder has an entry %q, which would lead out of the target", name)
	}
	return root.MkdirAll(name, 0o755)
}
