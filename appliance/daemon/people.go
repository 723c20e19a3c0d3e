package daemon

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
)

// openPeople reads who may log in.
func (d *daemon) openPeople(ctx context.Context) (err error) {
	d.people, err = people.Open(ctx, people.Around{
		Store: d.store, Secrets: d.vault, Hasher: people.DefaultArgon2(), Config: d.Config.People, Now: time.Now, Log: d.Log.With("room", "people"),
		Taken: func(name string) bool { return d.keys.Own(name) }, // the keys are there before anybody asks
	})
	if err != nil {
		return err
	}
	if d.projects, err = people.OpenProjects(ctx, d.store, time.Now); err != nil {
		return err
	}
	return d.openProviders()
}

// makeFirst makes an administrator where nobody ever could log in, and returns the password; "" where somebody could. That is
// done when nothing keeps this daemon from answering any more, and no earlier: what is said to somebody who is about to end
// would be lost. What is lost all the same comes back by `palisade user reset`.
func (d *daemon) makeFirst(ctx context.Context) string {
	if d.First == nil || d.follows() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	password, err := d.people.First(ctx)
	if err != nil {
		d.Log.ErrorContext(ctx, "no administrator could be made; the next start tries again", "error", err)
	}
	return password
}
