package member

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// sink takes etcd's log. Etcd tells much: what is news to it is for people who look for something, and what worries it
// comes and goes while a member is away. Where it would end the whole process, only the member stops.
type sink struct {
	to    *slog.Logger
	with  []zapcore.Field
	fatal func(why string)

	gone *atomic.Bool // the cluster said that it knows this member no more
}

func newSink(to *slog.Logger, fatal func(why string)) *sink {
	return &sink{to: to, fatal: fatal, gone: new(atomic.Bool)}
}

var _ zapcore.Core = (*sink)(nil)

func level(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.InfoLevel:
		return slog.LevelDebug - 4
	case l < zapcore.ErrorLevel:
		return slog.LevelDebug
	case l < zapcore.DPanicLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Enabled implements zapcore.LevelEnabler. Warnings are always looked at: one of them says that the member was removed.
func (s *sink) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel || s.to.Enabled(context.Background(), level(l))
}

// With implements zapcore.Core.
func (s *sink) With(fields []zapcore.Field) zapcore.Core {
	child := *s
	child.with = slices.Concat(s.with, fields)
	return &child
}

// Check implements zapcore.Core.
func (s *sink) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if s.Enabled(e.Level) {
		return c.AddCore(e, s)
	}
	return c
}

// Write implements zapcore.Core.
func (s *sink) Write(e zapcore.Entry, fields []zapcore.Field) error {
	to := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(s.with, fields) {
		f.AddTo(to)
	}
	if why, _ := to.Fields["error"].(string); strings.Contains(why, "permanently removed from the cluster") {
		s.gone.Store(true)
	}
	args := make([]any, 0, 2*len(to.Fields))
	for k, v := range to.Fields {
		args = append(args, k, v)
	}
	s.to.Log(context.Background(), level(e.Level), "etcd: "+e.Message, args...)
	return nil
}

// Sync implements zapcore.Core.
func (s *sink) Sync() error { return nil }

func (s *sink) removed() bool { return s.gone.Load() }

// OnWrite implements zapcore.CheckWriteHook: it is called where etcd panics, or ends the process. It does not return: no line behind
// it may run, and neither may what its goroutine deferred, which would undo what others of etcd's are in the middle of. What it holds is
// held until the process ends.
func (s *sink) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	to := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(to)
	}
	why := e.Message
	if text, ok := to.Fields["error"].(string); ok {
		why += ": " + text
	}
	if strings.Contains(e.Message, "failed to find local ID in cluster members") { // who is asked meanwhile looks for its own name
		s.gone.Store(true)
	}
	s.fatal(why)
	select {}
}
