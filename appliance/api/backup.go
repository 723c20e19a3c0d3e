package api

import "time"

// States of a backup.
const (
	BackupRunning = "running" // it is being made
	BackupDone    = "done"
	BackupFailed  = "failed" // it came to nothing, or cannot be read
)

// Backup is the appliance in one sealed file, apart from its box.
type Backup struct {
	Name      string    `json:"name"`  // of the file; empty: it has none yet
	State     string    `json:"state"` // running, done or failed
	MadeAt    time.Time `json:"made_at"`
	Bytes     int64     `json:"bytes"`
	Version   string    `json:"version"`   // of the palisade that made it
	Schema    int64     `json:"schema"`    // of the rows in it
	Database  string    `json:"database"`  // sqlite or postgres: where they were
	Box       string    `json:"box"`       // that made it, and has it
	Scheduled bool      `json:"scheduled"` // by the schedule; those are removed by it, too
	Folders   bool      `json:"folders"`   // with what is in folders
	Models    bool      `json:"models"`    // with the files of installed models
	Sealed    string    `json:"sealed"`    // keys or passphrase: what opens it
	Error     string    `json:"error"`     // why it failed
	Phase     string    `json:"phase"`     // of one that is being made
	Done      int64     `json:"done"`      // about how many bytes were read, of one that is being made
	Total     int64     `json:"total"`     // about how many there are
}

// BackupCreate asks for a backup.
type BackupCreate struct {
	Folders    bool     `json:"folders,omitempty"`    // with what is in folders
	Models     bool     `json:"models,omitempty"`     // with the files of installed models
	Recipients []string `json:"recipients,omitempty"` // public keys of age; none: as the settings say
	Passphrase string   `json:"passphrase,omitempty"` // in the place of keys
}

// BackupRestored is what came of a backup on a box.
type BackupRestored struct {
	Data     string        `json:"data"`     // the data directory
	Database string        `json:"database"` // without a password in it
	MadeAt   time.Time     `json:"made_at"`  // the moment that the appliance is back at
	Version  string        `json:"version"`  // of the palisade that made the backup
	Schema   int64         `json:"schema"`   // of the rows: the next start brings it up to date
	Rows     int64         `json:"rows"`
	Files    int64         `json:"files"`
	Aside    string        `json:"aside"`    // where what was there before lies; empty: there was nothing
	Settings string        `json:"settings"` // where the settings file lies that the appliance had; empty: it had none
	Models   []BackupModel `json:"models"`   // whose files are to be fetched again
	Torn     []string      `json:"torn"`     // files that were changed while the backup was made
	Left     []string      `json:"left"`     // files that could not be read for the backup, with the reasons: the first of LeftOut
	LeftOut  int64         `json:"left_out"`
}

// BackupModel is a model whose files are not in a backup.
type BackupModel struct {
	Name    string `json:"name"`
	Project string `json:"project"`
	From    string `json:"from"`
	Bytes   int64  `json:"bytes"`
}

// BackupVerified is what was found in a backup.
type BackupVerified struct {
	Backup  Backup        `json:"backup"`
	Opened  bool          `json:"opened"` // false: only its checksum was compared, as there was no key
	Rows    int64         `json:"rows"`
	Files   int64         `json:"files"`
	Tables  int           `json:"tables"`
	Models  []BackupModel `json:"models"`
	Torn    []string      `json:"torn"`
	Left    []string      `json:"left"` // files that could not be read for it, with the reasons: the first of LeftOut
	LeftOut int64         `json:"left_out"`
}
