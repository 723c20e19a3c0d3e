package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
)

// Folders bound what people keep.
type Folders struct {
	// Quotas are what all folders of a project may hold, as 200g; "*" of each that has no line. 0: no bound.
	Quotas      map[string]string `yaml:"quotas"`
	KeepTrash   time.Duration     `yaml:"keep_trash"`   // how long a removed folder can be restored
	KeepUploads time.Duration     `yaml:"keep_uploads"` // how long an upload that stands still can be gone on with
}

func defaultFolders() Folders {
	return Folders{KeepTrash: 7 * 24 * time.Hour, KeepUploads: 24 * time.Hour}
}

// Settings are those of the room.
func (f Folders) Settings() (folders.Settings, error) {
	out := folders.Settings{KeepTrash: f.KeepTrash, KeepUploads: f.KeepUploads, Quotas: map[string]int64{}}
	for name, text := range f.Quotas {
		bytes, err := quotaOf(text)
		if err != nil {
			return out, fmt.Errorf("quota of project %s: %w", name, err)
		}
		out.Quotas[name] = bytes
	}
	return out, nil
}

func quotaOf(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	return accel.ParseSize(text)
}

func (f Folders) check() (ps catalog.Problems) {
	for _, name := range slices.Sorted(maps.Keys(f.Quotas)) {
		if _, err := quotaOf(f.Quotas[name]); err != nil {
			ps = append(ps, problem("folders.quotas."+name, err.Error(), "like 200g; 0 is no bound"))
		}
	}
	if f.KeepTrash < time.Minute {
		ps = append(ps, problem("folders.keep_trash", "is too short to restore anything", "like 168h"))
	}
	if f.KeepUploads < time.Minute {
		ps = append(ps, problem("folders.keep_uploads", "is too short to go on with anything", "like 24h"))
	}
	return ps
}
