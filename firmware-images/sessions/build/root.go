package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
)

// rooter puts the roots of one image together.
type rooter struct {
	chain []sessionimages.Definition // the last one is the image's
	work  string                     // a directory of its own
	log   *os.File                   // for what programs say
	say   func(string)
}

func (r *rooter) last() sessionimages.Definition { return r.chain[len(r.chain)-1] }

// image makes the image's layers: those of the archive of what it adds to, and its own.
func (r *rooter) image(ctx context.Context, archive func(name string) string) (*image, error) {
	d := r.last()
	img := &image{definition: d}
	below := marks{}
	if d.From != "" {
		var err error
		if img.layers, below, err = layersOf(archive(d.From), r.work); err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.From, err)
		}
	}
	hooks, err := r.hooks(ctx)
	if err != nil {
		return nil, err
	}
	r.say("installing packages")
	started := time.Now()
	var own layer
	err = r.mmdebstrap(ctx, r.packages(), hooks, func(root io.Reader) (err error) {
		own, err = writeLayer(filepath.Join(r.work, "layer"), root, below, started)
		return err
	})
	if err != nil {
		return nil, err
	}
	img.layers = append(img.layers, own)
	return img, nil
}

// packages are those of the whole chain.
func (r *rooter) packages() []string {
	var all []string
	for _, d := range r.chain {
		all = append(all, d.Packages...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// hooks are what mmdebstrap does with the root when its packages are there.
func (r *rooter) hooks(ctx context.Context) ([]string, error) {
	var hooks []string
	for i, d := range r.chain {
		if d.Tree != nil {
			tree, err := r.tree(ctx, d)
			if err != nil {
				return nil, err
			}
			hooks = append(hooks, `mkdir -p "$1"`+path.Dir(d.Tree.Path), fmt.Sprintf("tar-in %s %s", tree, path.Dir(d.Tree.Path)))
		}
		mine, err := r.put(d, i)
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, mine...)
	}
	// Which packages these are, and under which licences, as far as Debian's own lists say it in a form for programs.
	return append(hooks, `chroot "$1" /bin/sh -eu -c `+quoted(manifest)), nil
}

const manifest = `mkdir -p /usr/share/palisade
dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\n' | LC_ALL=C sort | while IFS="$(printf '\t')" read -r name version arch source; do
	licences=$(sed -n 's/^License: *\([^ ,]*\).*/\1/p' "/usr/share/doc/$name/copyright" 2>/dev/null | LC_ALL=C sort -u | tr '\n' ' ')
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$version" "$arch" "$source" "${licences% }"
done >/usr/share/palisade/packages.tsv`

// put makes hooks that copy what lies beside a definition into the root, and run its script there.
func (r *rooter) put(d sessionimages.Definition, n int) ([]string, error) {
	beside, err := sessionimages.Open(d.Name)
	if err != nil {
		return nil, err
	}
	var hooks []string
	if _, err := fs.Stat(beside, sessionimages.FilesDir); err == nil {
		file := filepath.Join(r.work, fmt.Sprintf("files-%d.tar", n))
		if err := tarOf(file, beside, sessionimages.FilesDir); err != nil {
			return nil, err
		}
		hooks = append(hooks, fmt.Sprintf("tar-in %s /", file))
	}
	script, err := fs.ReadFile(beside, sessionimages.ScriptSetup)
	if errors.Is(err, fs.ErrNotExist) {
		return hooks, nil
	}
	return append(hooks, `chroot "$1" /bin/sh -c `+quoted(string(script))), err
}

// tree fetches and builds what is not Debian's, and returns an archive of it.
func (r *rooter) tree(ctx context.Context, d sessionimages.Definition) (string, error) {
	beside, err := sessionimages.Open(d.Name)
	if err != nil {
		return "", err
	}
	sources := filepath.Join(r.work, "build")
	if err := os.MkdirAll(sources, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{sessionimages.ScriptFetch, sessionimages.ScriptBuild} {
		text, err := fs.ReadFile(beside, name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(sources, name), text, 0o755); err != nil {
			return "", err
		}
	}
	r.say("fetching what is not Debian's")
	if err := r.command(ctx, sources, "./"+sessionimages.ScriptFetch, nil); err != nil {
		return "", fmt.Errorf("fetching: %w", err)
	}
	r.say("building it")
	packed, out := filepath.Join(r.work, "build.tar"), filepath.Join(r.work, "tree.tar")
	if err := r.command(ctx, r.work, "tar", nil, "--owner=0", "--group=0", "-cf", packed, "build"); err != nil {
		return "", err
	}
	hooks := []string{
		fmt.Sprintf("tar-in %s /", packed),
		`chroot "$1" /bin/sh -c 'cd /build && exec ./` + sessionimages.ScriptBuild + ` ` + d.Tree.Path + `'`,
		fmt.Sprintf("tar-out %s %s", d.Tree.Path, out),
	}
	if err := r.mmdebstrap(ctx, d.Tree.Packages, hooks, nil); err != nil {
		return "", fmt.Errorf("building: %w", err)
	}
	return out, errors.Join(os.RemoveAll(sources), os.Remove(packed))
}

// left out of every root: an image is not where one reads manuals. Licences stay.
var leftOut = []string{
	"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/lintian/*",
	"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
}

// mmdebstrap makes a root with packages, lets hooks work on it, and hands its archive to take; nil: it is thrown away.
func (r *rooter) mmdebstrap(ctx context.Context, packages, hooks []string, take func(root io.Reader) error) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return &hintError{errors.New("mmdebstrap is not installed"), "on Debian and Ubuntu: apt-get install --no-install-recommends mmdebstrap (.ci/deps images)"}
	}
	format := "tar"
	if take == nil {
		format = "null"
	}
	args := []string{
		"--variant=apt", "--format=" + format, "--include=" + strings.Join(packages, ","), "--architectures=" + debianArch(),
		"--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"3\"", "--dpkgopt=force-unsafe-io",
	}
	for _, option := range leftOut {
		args = append(args, "--dpkgopt="+option)
	}
	for _, d := range r.chain {
		if take == nil {
			break // what is left out of an image may be what something is built with
		}
		for _, pattern := range d.Without {
			args = append(args, "--dpkgopt=path-exclude="+pattern)
		}
	}
	for _, hook := range hooks {
		args = append(args, "--customize-hook="+hook)
	}
	args = append(args, r.last().Release, "-")
	if mirror := os.Getenv("PALISADE_DEBIAN_MIRROR"); mirror != "" {
		args = append(args, mirror)
	}
	return r.command(ctx, r.work, "mmdebstrap", take, args...)
}

func debianArch() string {
	if runtime.GOARCH == "arm" {
		return "armhf"
	}
	return runtime.GOARCH // amd64, arm64, riscv64, s390x: theirs are ours
}

// command runs a program with few variables, its words going to the log and its output to take, or the log as well.
func (r *rooter) command(ctx context.Context, dir, program string, take func(io.Reader) error, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // our own words, of definitions that are compiled in
	cmd.Dir = dir
	cmd.Stderr = r.log
	cmd.Env = environment(r.work)
	// It has mounts to take away: it is asked, and given the time for it.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	// A Ctrl-C at the terminal would reach what it runs as well, in the middle of taking mounts away.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	fmt.Fprintf(r.log, "+ %s %s\n", program, strings.Join(args, " "))
	if take == nil {
		cmd.Stdout = r.log
		return cmd.Run()
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	taken := take(out)
	// What is left must be read, or the program waits for ever for somebody to do so.
	_, drained := io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", program, err) // what could not be taken then follows from it
	}
	return errors.Join(taken, drained)
}

// environment is that of the programs: what they need to reach the world, and nothing that could change what comes out.
func environment(tmp string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + os.Getenv("HOME"), "TMPDIR=" + tmp, "LC_ALL=C.UTF-8", "TZ=UTC",
		"DEBIAN_FRONTEND=noninteractive", "PALISADE_ARCH=" + runtime.GOARCH, "npm_config_update_notifier=false",
	}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "npm_config_registry", "npm_config_cafile", "NODE_EXTRA_CA_CERTS"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// tarOf writes an archive of a directory of from. A file may be run if its name has no dot or it is a script.
func tarOf(file string, from fs.FS, dir string) error {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := fs.WalkDir(from, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		h := &tar.Header{Name: strings.TrimPrefix(name, dir+"/"), Mode: 0o644, ModTime: epoch, Typeflag: tar.TypeReg}
		if entry.IsDir() {
			h.Name, h.Mode, h.Typeflag = h.Name+"/", 0o755, tar.TypeDir
			return w.WriteHeader(h)
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte("#!")) || path.Base(path.Dir(name)) == "bin" {
			h.Mode = 0o755
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.WriteFile(file, buf.Bytes(), 0o644)
}

// quoted is text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
