package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// sessionsOf are the sessions that a word names: one, by its id or name, or all of an array, in the order of their indexes. A
// session that has ended is not meant where an array was called the same since.
func sessionsOf(ctx context.Context, c *api.Client, ref string) ([]api.Session, error) {
	s, err := c.Session(ctx, ref)
	switch {
	case err != nil && !errors.Is(err, api.KindError(api.KindNotFound)):
		return nil, err
	case err == nil && (s.ID == ref || !ended(s)):
		return []api.Session{s}, nil
	}
	all := arrayOf(ctx, c, ref)
	if err == nil && (all == nil || !all[0].CreatedAt.After(s.CreatedAt)) {
		all = []api.Session{s}
	}
	if all == nil {
		return nil, err
	}
	return all, nil
}

// arrayOf are the sessions of an array, by its id or its name: of several arrays of one name the newest, for people run what
// they call the same again and again. nil: there is none.
func arrayOf(ctx context.Context, c *api.Client, ref string) []api.Session {
	all, err := c.Sessions(ctx, api.SessionFilter{Array: ref, All: true})
	if err != nil || len(all) == 0 {
		return nil
	}
	newest := slices.MaxFunc(all, func(a, b api.Session) int { return a.CreatedAt.Compare(b.CreatedAt) }).ArrayID
	all = slices.DeleteFunc(all, func(s api.Session) bool { return s.ArrayID != newest })
	slices.SortFunc(all, func(a, b api.Session) int { return *a.ArrayIndex - *b.ArrayIndex })
	return all
}

// arrayLogs prints what the sessions of an array have written, one after the other.
func (a *app) arrayLogs(ctx context.Context, c *api.Client, all []api.Session, o api.LogOptions) error {
	if o.Follow {
		return &usageError{message: "--follow is for one session", hint: "palisade session logs -f " + all[0].Name}
	}
	var failed error
	for _, s := range all {
		a.logHead(s.Name, s.Status, s.Reason)
		if s.StartedAt != nil {
			body, err := c.SessionLogs(ctx, s.ID, o)
			if err = a.copyLog(ctx, body, err); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.Name, err))
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// logHead is the line above one of several logs.
func (a *app) logHead(name, status, reason string) {
	fmt.Fprintf(a.out, "==> %s: %s: %s\n", name, status, oneLine(reason))
}

// arrayName is what an array was called: what its sessions' names begin with.
func arrayName(s api.Session) string {
	if s.ArrayIndex == nil {
		return s.Name
	}
	return strings.TrimSuffix(s.Name, "-"+strconv.Itoa(*s.ArrayIndex))
}

// terminate ends a session, or those of an array that live.
func terminate(ctx context.Context, c *api.Client, ref string, forced bool) error {
	all, err := sessionsOf(ctx, c, ref)
	if err != nil {
		return err
	}
	if len(all) == 1 {
		return c.TerminateSession(ctx, all[0].ID, forced)
	}
	if all = slices.DeleteFunc(all, ended); len(all) == 0 {
		return fmt.Errorf("all sessions of the array %s have ended", ref)
	}
	var wrong []error
	for _, s := range all {
		if err := c.TerminateSession(ctx, s.ID, forced); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}
