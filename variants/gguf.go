package variants

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var shard = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.([gG][gG][uU][fF])$`)

// firstGGUF finds the model to load at or below at, a path in files: the first *.gguf by name, or the
// first shard of a split one. It looks into the directories of at, but not deeper, only when at itself has
// none. Projectors of multimodal models (mmproj*) are no models. problem is "" when all is well.
func firstGGUF(files fs.FS, at string) (file, problem, hint string) {
	if info, err := fs.Stat(files, at); err == nil && info.Mode().IsRegular() {
		return wholeModel(files, at)
	}
	if file := firstIn(files, at); file != "" {
		return wholeModel(files, file)
	}
	entries, err := fs.ReadDir(files, at)
	if err != nil {
		return "", fmt.Sprintf("the model folder cannot be read: %v", err), ""
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if file := firstIn(files, path.Join(at, e.Name())); file != "" {
			return wholeModel(files, file)
		}
	}
	return "", "the model folder has no *.gguf file", hintEntries(files, path.Join(at, "x"))
}

// firstIn returns the first model file of a directory, or "".
func firstIn(files fs.FS, dir string) string {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return "" // a file, or gone
	}
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if !strings.HasSuffix(name, ".gguf") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "mmproj") {
			continue
		}
		file := path.Join(dir, e.Name())
		if info, err := fs.Stat(files, file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// wholeModel returns file, or the first shard when it is one of several; all of them must be there.
func wholeModel(files fs.FS, file string) (first, problem, hint string) {
	m := shard.FindStringSubmatch(path.Base(file))
	if m == nil {
		return file, "", ""
	}
	count, _ := strconv.Atoi(m[3])
	name := func(i int) string {
		return path.Join(path.Dir(file), fmt.Sprintf("%s-%05d-of-%s.%s", m[1], i, m[3], m[4]))
	}
	for i := 1; i <= count; i++ {
		if _, err := fs.Stat(files, name(i)); err != nil {
			return name(1), fmt.Sprintf("%s is split in %d, and part %d is missing", m[1], count, i), "copy " + path.Base(name(i)) + " into the folder too"
		}
	}
	return name(1), "", ""
}
