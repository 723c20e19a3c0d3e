package store_test

import (
	"context"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// fill gives every field of v, however deep, a value that is not its zero value and that no other field
// of v has, as far as its type allows.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		switch v.Type() {
		case reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(at.UTC().Add(time.Duration(*n) * time.Second)))
			return
		case reflect.TypeFor[netip.Addr]():
			v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)})))
			return
		case reflect.TypeFor[netip.Prefix]():
			v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(*n >> 8), byte(*n), 0}), 24)))
			return
		}
		for _, field := range v.Fields() {
			fill(field, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + time.Duration(*n).String())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint32:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.25)
	default:
		panic("fill does not know " + v.Type().String())
	}
}

// addresses are compared whole.
var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func filled[T any]() T {
	var v T
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

// Every field that a room's type has comes back: one that is added there and forgotten here fails.
func TestEveryFieldIsKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		service := filled[sessions.Service]()
		service.Version = 0
		service = saved(t, s, service)
		revision, session := filled[sessions.Revision](), filled[sessions.Session]()
		revision.ServiceID = service.ID
		step, event := filled[sessions.Transition](), filled[sessions.Event]()
		folder, token, key := filled[folders.Folder](), filled[router.Token](), filled[keys.Key]()
		sshKey := filled[authorized.Key]()
		for _, err := range []error{
			s.SaveRevision(t.Context(), revision), s.SaveSession(t.Context(), session, step), s.AddEvent(t.Context(), event),
			s.SaveFolder(t.Context(), folder), s.SaveToken(t.Context(), token), s.SaveKey(t.Context(), key), s.SaveSSHKey(t.Context(), sshKey),
		} {
			must(t, err)
		}

		same(t, s.Services, service)
		same(t, s.Sessions, session)
		same(t, s.Folders, folder)
		same(t, s.Tokens, token)
		same(t, s.Keys, key)
		same(t, s.SSHKeys, sshKey)
		revisions, err := s.Revisions(t.Context(), service.ID)
		must(t, err)
		steps, err := s.Transitions(t.Context(), step.SessionID)
		must(t, err)
		events, err := s.Events(t.Context(), event.ServiceID, 1)
		must(t, err)
		if d := cmp.Diff([]any{revision, step, event}, []any{revisions[0], steps[0], events[0]}, addresses); d != "" {
			t.Errorf("of a service and a session (-saved +read):\n%s", d)
		}

		// And every field is brought up to date by a second save.
		blank := sessions.Service{ID: service.ID, Version: service.Version}
		same(t, s.Services, saved(t, s, blank))
		must(t, s.SaveSession(t.Context(), sessions.Session{ID: session.ID}))
		same(t, s.Sessions, sessions.Session{ID: session.ID})
		must(t, s.SaveRevision(t.Context(), sessions.Revision{ServiceID: service.ID, Number: revision.Number}))
		revisions, err = s.Revisions(t.Context(), service.ID)
		must(t, err)
		if d := cmp.Diff([]sessions.Revision{{ServiceID: service.ID, Number: revision.Number}}, revisions); d != "" {
			t.Errorf("revisions (-saved +read):\n%s", d)
		}
		must(t, s.SaveToken(t.Context(), router.Token{ID: token.ID}))
		same(t, s.Tokens, router.Token{ID: token.ID, LastUsed: token.LastUsed, RevokedAt: token.RevokedAt})
		must(t, s.SaveKey(t.Context(), keys.Key{ID: key.ID}))
		same(t, s.Keys, keys.Key{ID: key.ID, LastUsed: key.LastUsed, RevokedAt: key.RevokedAt})
		must(t, s.SaveSSHKey(t.Context(), authorized.Key{ID: sshKey.ID}))
		same(t, s.SSHKeys, authorized.Key{ID: sshKey.ID, LastUsed: sshKey.LastUsed})
	})
}

// same fails unless list returns want alone.
func same[T any](t *testing.T, list func(context.Context) ([]T, error), want T) {
	t.Helper()
	got, err := list(t.Context())
	must(t, err)
	if d := cmp.Diff([]T{want}, got, addresses); d != "" {
		t.Errorf("%T (-saved +read):\n%s", want, d)
	}
}
