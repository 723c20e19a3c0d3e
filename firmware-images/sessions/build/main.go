// Command build makes the images that people's sessions start from, out of Debian's packages, as OCI archives in the cache:
//
//	go run ./firmware-images/sessions/build [-list | -find | -force] [NAME...]
//
// It marks the archives' paths, one a line; what it does meanwhile goes to stderr. An archive whose definition has not
// changed is found in a few milliseconds. Neither docker nor containerd is needed, and root only where the box gives
// users no namespaces of their own: mmdebstrap puts the root together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "images:", err)
			if h, ok := errors.AsType[*hintError](err); ok {
				fmt.Fprintln(os.Stderr, "  "+h.hint)
			}
		}
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// hintError is an error that its reader can do something about.
type hintError struct {
	error
	hint string
}

// Unwrap gives the error itself.
func (h *hintError) Unwrap() error { return h.error }

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(errs)
	cache := flags.String("cache", "", "directory of the archives (default $PALISADE_CACHE/images)")
	force := flags.Bool("force", false, "build again what is there already: with the packages of today")
	list := flags.Bool("list", false, "say what there is, and build nothing")
	find := flags.Bool("find", false, "say where the archives are of those that are asked for, and build nothing")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	asked := slices.Clone(flags.Args())
	names, err := wanted(flags.Args())
	if err != nil {
		return err
	}
	if *cache == "" {
		if *cache, err = defaultCache(); err != nil {
			return err
		}
	}
	b := &builder{dir: *cache, force: *force, errs: &lines{to: errs}, started: time.Now()}
	if *list {
		return b.list(out, names)
	}
	if *find {
		return b.find(out, names, asked)
	}
	return b.all(ctx, out, names)
}

func defaultCache() (string, error) {
	if dir := os.Getenv("PALISADE_CACHE"); dir != "" {
		return filepath.Join(dir, "images"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &hintError{err, "set HOME or PALISADE_CACHE: images are kept in a cache"}
	}
	return filepath.Join(dir, "palisade", "images"), nil
}

// wanted are the names of the images to build, each after the one that it adds to.
func wanted(asked []string) ([]string, error) {
	all, err := sessionimages.Names()
	if err != nil || len(asked) == 0 {
		return all, err
	}
	var names []string
	for i, name := range asked {
		asked[i] = strings.TrimPrefix(name, sessionimages.Prefix)
		if !slices.Contains(all, asked[i]) {
			return nil, &hintError{fmt.Errorf("no image is called %q", name), "there are: " + strings.Join(all, ", ")}
		}
		chain, err := sessionimages.Load(asked[i])
		if err != nil {
			return nil, err
		}
		for _, d := range chain {
			if !slices.Contains(names, d.Name) {
				names = append(names, d.Name)
			}
		}
	}
	return names, nil
}

// lines writes whole lines of several writers.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lines) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.to, "images: "+format+"\n", args...)
}
