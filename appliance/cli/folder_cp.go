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
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) folderCopy() *cobra.Command {
	return &cobra.Command{
		Use: "cp SOURCE TARGET", Short: "Copy files and directories into a folder, or out of one",
		Long: "Copy a file, or a directory with all that is in it, into a folder or out of one. One of the two is\n" +
			"FOLDER:PATH, the other a path on this machine (write ./a:b where that has a colon in it). As with cp, a\n" +
			"target that is a directory, or ends in /, gets the source into it. What may be run stays so.",
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
			t := &transfer{app: a, client: c, show: a.newProgress()}
			defer t.show.clear()
			if to.folder != "" {
				err = t.up(cmd.Context(), from.path, to)
			} else {
				err = t.down(cmd.Context(), from, to.path)
			}
			if err != nil {
				return err
			}
			t.show.clear()
			a.notef("%s, %s in %s", plural(t.files, "file"), size(t.bytes), elapsed(a.now().Sub(t.show.begin)))
			return a.show(result{quiet: []string{}, json: map[string]any{"files": t.files, "bytes": t.bytes}, text: func() error { return nil }})
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

// transfer is one run of cp.
type transfer struct {
	*app
	client *api.Client
	show   *progress
	files  int
	bytes  int64
}

// tell shows how far one file is.
func (t *transfer) tell(name string) api.Progress {
	before := t.bytes
	return func(done, total int64) {
		now := t.now()
		text := fmt.Sprintf("%s  %s", name, size(done))
		if total > 0 {
			text = fmt.Sprintf("%s  %d%% of %s", name, done*100/total, size(total))
		}
		if took := now.Sub(t.show.begin); took > time.Second {
			text += fmt.Sprintf("  %s/s", size(int64(float64(before+done)/took.Seconds())))
		}
		t.show.status(now, text)
	}
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
		file, err := os.Open(source)
		if err != nil {
			return err
		}
		defer file.Close()
		return t.upload(ctx, to.folder, target, file)
	}
	root, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return nil
		}
		// The root follows links that stay in the directory, and refuses those that lead out of it.
		info, err := root.Stat(name)
		switch {
		case err != nil && entry.Type()&fs.ModeSymlink != 0:
			return &hintError{fmt.Errorf("%s is a link that leads out of %s, or nowhere", name, source), "copy what it leads to by itself, or remove the link"}
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			t.show.line(t.now(), "left out: "+name+" is no plain file")
			return nil
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		return t.upload(ctx, to.folder, path.Join(target, name), file)
	})
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

func (t *transfer) upload(ctx context.Context, folder, target string, file fs.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	entry, err := t.client.Upload(ctx, folder, api.Upload{
		Path: target, Body: file, Size: info.Size(), Executable: info.Mode()&0o100 != 0,
	}, t.tell(target))
	if err != nil {
		return fmt.Errorf("copying to %s:%s: %w", folder, target, err)
	}
	if entry.Size != info.Size() {
		return fmt.Errorf("copying to %s:%s: the file changed meanwhile: %d bytes at first, %d sent", folder, target, info.Size(), entry.Size)
	}
	t.files++
	t.bytes += entry.Size
	return nil
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
		return t.inDir(dir, func(root *os.Root) error { return t.download(ctx, from.folder, e, root, name) })
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
		for _, e := range entries {
			name := strings.TrimPrefix(strings.TrimPrefix(e.Path, clean), "/")
			if e.Type == "directory" {
				if e.Link {
					t.show.line(t.now(), "left out: "+e.Path+" is a link to a directory")
				} else if err := mkdirIn(root, name); err != nil {
					return err
				}
				continue
			}
			if err := t.download(ctx, from.folder, e, root, name); err != nil {
				return err
			}
		}
		return nil
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

// download writes one file: beside its place first, and there only when it is whole.
func (t *transfer) download(ctx context.Context, folder string, source api.Entry, root *os.Root, name string) (err error) {
	if err := mkdirIn(root, filepath.Dir(name)); err != nil {
		return err
	}
	part := name + ".part"
	mode := fs.FileMode(0o644)
	if source.Executable {
		mode = 0o755
	}
	file, err := root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(part)
		}
	}()
	n, err := t.client.Download(ctx, folder, api.Download{Path: source.Path, To: file}, t.tell(source.Path))
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := root.Rename(part, name); err != nil {
		return err
	}
	t.files++
	t.bytes += n
	return nil
}

// hintError is an error with advice.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }
func (e *hintError) Hint() string  { return e.hint }
