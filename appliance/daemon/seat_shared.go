package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
)

// shared is what all boxes of a cluster have to know, so that a box that joins needs nothing by hand.
type shared struct {
	Database string            `json:"database"` // as config.Config.Database, with its password
	Redis    config.Redis      `json:"redis"`    // without files: what is in them is written out
	Files    map[string][]byte `json:"files"`    // of the data directory: see sharedFiles
}

// sharedFiles are keys in the data directory that all boxes have to have: whoever leads opens what another one sealed.
func sharedFiles() []string { return []string{"vault.key", "apps.key"} }

const sharedSettings = "settings"

// sharedOf is what this box has to share.
func sharedOf(c config.Config) (out shared, err error) {
	out = shared{Database: c.DSN(), Redis: c.Redis, Files: map[string][]byte{}}
	if out.Redis.PasswordFile != "" || out.Redis.CA != "" {
		return out, hinted{errors.New("redis.password_file and redis.ca name files of this box, which other boxes do not have"),
			"write the same settings on each box, and leave redis.url out here until then; or put the password into redis.url"}
	}
	for _, name := range sharedFiles() {
		text, err := os.ReadFile(filepath.Join(c.Data, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, fmt.Errorf("sharing %s: %w", name, err)
		}
		if err == nil {
			out.Files[name] = text
		}
	}
	return out, nil
}

// share seals what this box has for all others.
func (s *seat) share(ctx context.Context, out shared) error {
	key, err := s.node.ClusterKey()
	if err != nil {
		return err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	sealed, err := key.Seal(text)
	if err != nil {
		return err
	}
	return s.agreement.Share(ctx, sharedSettings, sealed)
}

// sharedPatience is how long etcd is asked at the start for what the boxes share, before what is remembered of it has to do.
const sharedPatience = 5 * time.Second

// learnShared reads what the boxes share, and puts it in the place of the settings. Where etcd cannot be asked now, what it said
// last holds.
func (s *seat) learnShared(ctx context.Context) error {
	got, err := s.readShared(ctx)
	switch {
	case err == nil:
		if s.kept.Shared.Database == "" && got.Database != s.Config.DSN() { // the first time
			if err := clusterHead(s.Config.Data); err != nil {
				return err
			}
		}
		if err := s.update(func(r *seatRecord) { r.Shared = got }); err != nil {
			return err
		}
	case s.kept.Shared.Database == "":
		return hinted{fmt.Errorf("what the boxes share is not known here, and cannot be asked for: %w", err), "does a majority of the boxes that keep the agreement run? See on one of them: palisade cluster status"}
	default:
		s.log.Warn("what the boxes share cannot be asked for; what was known last holds", "error", err)
		got = s.kept.Shared
	}
	s.Config.Database, s.Config.Redis = got.Database, got.Redis
	for name, text := range got.Files {
		path := filepath.Join(s.Config.Data, name)
		have, err := os.ReadFile(path)
		if err == nil && bytes.Equal(have, text) {
			continue
		}
		if err == nil {
			if err := writeWhole(path+".before-cluster", have); err != nil {
				return fmt.Errorf("keeping this box's own %s: %w", name, err)
			}
		}
		if err := writeWhole(path, text); err != nil {
			return fmt.Errorf("taking over %s: %w", name, err)
		}
	}
	return nil
}

func (s *seat) readShared(ctx context.Context) (out shared, err error) {
	key, err := s.node.ClusterKey()
	if err != nil {
		return out, err
	}
	asking, cancel := context.WithTimeout(ctx, sharedPatience)
	defer cancel()
	for {
		sealed, err := s.agreement.Shared(asking, sharedSettings)
		if err == nil && sealed == nil {
			return out, errors.New("nobody has shared anything")
		}
		if err == nil {
			text, err := key.Unseal(sealed)
			if err != nil {
				return out, err
			}
			return out, json.Unmarshal(text, &out)
		}
		select {
		case <-asking.Done():
			return out, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
