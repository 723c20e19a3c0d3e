package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/autoscaler/cron"
	"github.com/palisade-run/palisade/catalog"
)

// Backup is how the appliance is kept apart from its box.
type Backup struct {
	// Schedule is a cron expression of five fields; "": backups are made by hand.
	Schedule string `yaml:"schedule"`
	// Zone is the schedule's, by its IANA name; "" is UTC.
	Zone string `yaml:"zone"`
	// Keep is how many of those that the schedule made are kept.
	Keep int `yaml:"keep"`
	// To is the directory for them; "" is backups in Data. Absolute after Load.
	To string `yaml:"to"`
	// Recipients are public keys of age: who has the secret one opens backups.
	Recipients []string `yaml:"recipients"`
	// PassphraseFile is a file with what opens them, in the place of keys. Absolute after Load.
	PassphraseFile string `yaml:"passphrase_file"`
	// Folders and Models say whether what is in folders, and the files of installed models, are in those that the schedule makes.
	Folders bool `yaml:"folders"`
	Models  bool `yaml:"models"`
}

const (
	backupsDir     = "backups"
	mostPassphrase = 4 << 10
)

func defaultBackup() Backup { return Backup{Keep: 7} }

// Times are those of the schedule; nil where there is none.
func (b Backup) Times() (*cron.Times, error) {
	if b.Schedule == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	zone, err := cron.Zone(b.Zone)
	if err != nil {
		return nil, err
	}
	return cron.Parse(b.Schedule, zone)
}

// BackupDir is where backups lie.
func (c Config) BackupDir() string {
	if c.Backup.To != "" {
		return c.Backup.To
	}
	return filepath.Join(c.Data, backupsDir)
}

// Seal is what the settings say of who opens backups. It reads the file with the passphrase.
func (b Backup) Seal() (backup.Seal, error) {
	if b.PassphraseFile == "" {
		return backup.Seal{Recipients: b.Recipients}, nil
	}
	text, err := os.ReadFile(b.PassphraseFile)
	if err != nil {
		return backup.Seal{}, fmt.Errorf("backup.passphrase_file: %w", err)
	}
	if len(text) > mostPassphrase {
		return backup.Seal{}, fmt.Errorf("backup.passphrase_file: %s is too long to be a passphrase", b.PassphraseFile)
	}
	return backup.Seal{Passphrase: strings.TrimRight(string(text), "\r\n")}, nil
}

func (b Backup) check() (ps catalog.Problems) {
	if _, err := cron.Zone(b.Zone); err != nil {
		ps = append(ps, problem("backup.zone", err.Error(), "like Europe/Berlin"))
	} else if _, err := b.Times(); err != nil {
		ps = append(ps, problem("backup.schedule", err.Error(), `five fields, like "30 3 * * *" for half past three each night`))
	}
	if b.Keep < 1 {
		ps = append(ps, problem("backup.keep", "is less than one", "like 7"))
	}
	for _, r := range b.Recipients {
		if _, err := backup.CheckRecipient(r); err != nil {
			ps = append(ps, problem("backup.recipients", err.Error(), "public keys begin with age1: palisade backup key makes one"))
		}
	}
	switch {
	case b.PassphraseFile != "" && len(b.Recipients) > 0:
		ps = append(ps, problem("backup.passphrase_file", "stands beside backup.recipients", "write one of them"))
	case b.Schedule != "" && b.PassphraseFile == "" && len(b.Recipients) == 0:
		ps = append(ps, problem("backup.recipients", "is missing: backups hold all secrets, and are sealed", "palisade backup key makes a key; or name a backup.passphrase_file"))
	}
	return ps
}
