package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const suffix = ".trace"

func segmentName(base int64) string { return fmt.Sprintf("%013d%s", base, suffix) }

// segment is one file of a service.
type segment struct {
	path    string
	base    int64
	records int
}

// segments lists a service's, oldest first. One that has none has no directory, maybe.
func (r *Recorder) segments(serviceID string) ([]segment, error) {
	dir := filepath.Join(r.dir, serviceID)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), suffix)
		base, err := strconv.ParseInt(name, 10, 64)
		if !ours || err != nil || base < 0 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, segment{filepath.Join(dir, e.Name()), base, int(max(info.Size()-headSize, 0) / recordSize)})
	}
	slices.SortFunc(out, func(a, b segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return out, nil
}

// trim removes a service's segments that are too old, and the oldest of too many. The newest stays, full or not.
func (r *Recorder) trim(serviceID string, now time.Time) error {
	all, err := r.segments(serviceID)
	if err != nil {
		return err
	}
	total := segmentMost // that the newest may come to
	for _, s := range all {
		total += s.records
	}
	var failed error
	for i, s := range all {
		old := now.UnixMilli()-s.base > (Keep + segmentTime).Milliseconds()
		if !old && (total <= Most || i == len(all)-1) {
			break
		}
		total -= s.records
		failed = errors.Join(failed, os.Remove(s.path))
	}
	return failed
}

// sweep trims all services, and removes the directories of those that have nothing left.
func (r *Recorder) sweep(now time.Time) {
	r.sweptAt = now
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return // nothing is kept, or what writes will tell
	}
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue
		}
		if err := r.trim(e.Name(), now); err != nil {
			r.log.Warn("what came to a service a while ago could not be removed", "service", e.Name(), "error", err)
			continue
		}
		_ = os.Remove(filepath.Join(r.dir, e.Name())) // only where it is empty
	}
}
