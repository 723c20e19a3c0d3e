package sessions

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// together is one error of several that were found at once. Where there are more than one it holds catalog.Problems, one
// for each, so that each is told on its own.
func together(errs ...error) error {
	one := errors.Join(errs...)
	if one == nil {
		return nil
	}
	var ps catalog.Problems
	found := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		found++
		one = err
		if of, ok := errors.AsType[catalog.Problems](err); ok {
			ps = append(ps, of...)
			continue
		}
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Message: strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")})
	}
	if found == 1 {
		return one
	}
	return fmt.Errorf("%w: several things cannot be so: %w", ErrInvalid, ps)
}

// changes names what differs between a service and what it was, but for its recipe, as the API calls it.
func changes(was, is Service) []string {
	var names []string
	for _, f := range []struct {
		name    string
		differs bool
	}{
		{"name", was.Name != is.Name}, {"open_to_public", was.Public != is.Public},
		{"replicas", was.Replicas != is.Replicas}, {"priority", was.Priority != is.Priority},
	} {
		if f.differs {
			names = append(names, f.name)
		}
	}
	names = append(names, fieldChanges(was.Policy, is.Policy)...)
	return append(names, fieldChanges(was.Routing, is.Routing)...)
}

// fieldChanges names the fields in which two structs of one type differ, as JSON does.
func fieldChanges[T any](was, is T) []string {
	var names []string
	a, b := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := range a.NumField() {
		if !a.Field(i).Equal(b.Field(i)) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
