package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What a daemon that has given its store to a successor still has to tell (the restart itself, an upload that ended meanwhile)
// lies beside the witness, a file for each entry, until the successor has put it into the chain.
func (l *Log) leftPrefix() string { return l.witness + ".left-" }

// leave writes an entry down for a successor. The caller holds mu.
func (l *Log) leave(ctx context.Context, e Entry) {
	text, err := json.Marshal(e)
	if err == nil {
		l.leaves++
		name := fmt.Sprintf("%020d-%d-%d", e.At.UnixNano(), os.Getpid(), l.leaves)
		next := l.witness + ".leaving-" + name
		if err = os.WriteFile(next, text, 0o600); err == nil {
			err = os.Rename(next, l.leftPrefix()+name)
		}
	}
	if err != nil {
		l.log.ErrorContext(ctx, "a change is missing in the audit record", "action", e.Action, "target", e.Target, "error", err)
	}
}

// collect puts what others have left into the chain, oldest first. One that is kept and whose file cannot be removed would come
// again and again: it ends there.
func (l *Log) collect(ctx context.Context) {
	entries, err := os.ReadDir(filepath.Dir(l.witness))
	if err != nil {
		return // so is the witness unreadable, which is logged
	}
	var names []string
	for _, f := range entries {
		if name := filepath.Join(filepath.Dir(l.witness), f.Name()); f.Type().IsRegular() && strings.HasPrefix(name, l.leftPrefix()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if !l.collectOne(ctx, name) {
			return
		}
	}
}

func (l *Log) collectOne(ctx context.Context, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var e Entry
	text, err := os.ReadFile(filepath.Clean(name))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		l.log.ErrorContext(ctx, "a change that an earlier process left is missing in the audit record", "file", name, "error", err)
		return os.Rename(name, l.witness+".bad-"+strings.TrimPrefix(name, l.leftPrefix())) == nil
	}
	last, head, err := l.keep(ctx, e)
	if err != nil {
		return false
	}
	l.testify(ctx, last, head)
	if err := os.Remove(name); err != nil {
		l.log.ErrorContext(ctx, "a change that is in the audit record lies beside it too", "file", name, "error", err)
		return false
	}
	return true
}
