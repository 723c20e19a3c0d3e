package daemon

import (
	"crypto/hkdf"
	"crypto/sha256"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/people/oidc"
	"github.com/palisade-run/palisade/training/apps"
)

// openProviders makes the door for users whom somebody else proves. Nobody is asked yet. What browsers keep on their way is
// sealed with a key that outlives the daemon: who is at a provider while it is restarted comes back to the next one.
func (d *daemon) openProviders() error {
	if len(d.Config.People.OIDC) == 0 {
		return nil
	}
	kept, err := apps.OpenKey(filepath.Join(d.Config.Data, "apps.key"))
	if err != nil {
		return err
	}
	key, err := hkdf.Key(sha256.New, kept, nil, "palisade: log-ins by providers", 32)
	if err != nil {
		return err
	}
	d.providers, err = oidc.New(oidc.Around{Providers: d.Config.People.OIDC, Secret: d.secret, Key: key, Client: oidc.NewClient(), Now: time.Now})
	return err
}

// byProviders are the providers as the API asks them; nil: there are none.
func (d *daemon) byProviders() admin.Providers {
	if d.providers == nil {
		return nil
	}
	return d.providers
}
