package api

import "time"

// InstallCreate asks for a model: its files, its service, and that it answers.
type InstallCreate struct {
	Source        string   `json:"source"`                   // a recipe (NAME, NAME@VERSION, CATALOG/NAME), or a place: hf:ORG/NAME, /PATH, ...
	Project       string   `json:"project,omitempty"`        // default: that of the request
	Name          string   `json:"name,omitempty"`           // of the model and its service; default: the recipe's
	Variant       string   `json:"variant,omitempty"`        // default: the first that fits
	Devices       []string `json:"devices,omitempty"`        // ids, or kinds of accelerators; default: wherever it fits
	Context       int      `json:"context,omitempty"`        // tokens; default: the variant's
	Concurrency   int      `json:"concurrency,omitempty"`    // sequences at once that there is memory for; default: the variant's
	Replicas      int      `json:"replicas,omitempty"`       // default: 1
	AcceptLicense bool     `json:"accept_license,omitempty"` // the licence was read and is accepted
	NoService     bool     `json:"no_service,omitempty"`     // the files alone
	NoCalibrate   bool     `json:"no_calibrate,omitempty"`   // nothing is measured afterwards
	Force         bool     `json:"force,omitempty"`          // try it though it does not fit
}

// Install is an install, an update or a roll-back of a model, and how far it is.
type Install struct {
	ID        string           `json:"id"`
	Model     string           `json:"model"` // its name, and that of its service
	Project   string           `json:"project"`
	Kind      string           `json:"kind"`           // install, update, rollback
	Source    string           `json:"source"`         // as it was asked for
	Status    string           `json:"status"`         // RUNNING, DONE, FAILED, CANCELLED
	Step      string           `json:"step,omitempty"` // that is under way, or at which it ended
	Error     string           `json:"error,omitempty"`
	Hint      string           `json:"hint,omitempty"`   // what to do about it
	Attempt   int              `json:"attempt"`          // from 1
	Joined    bool             `json:"joined,omitempty"` // it was under way already
	CreatedBy string           `json:"created_by"`
	CreatedAt time.Time        `json:"created_at"`
	EndedAt   *time.Time       `json:"ended_at,omitempty"`
	Steps     []InstallStep    `json:"steps"`
	Transfer  *InstallTransfer `json:"transfer,omitempty"` // of the step that is under way
	Plan      []string         `json:"plan,omitempty"`     // in sentences
	Warnings  []string         `json:"warnings,omitempty"`
	Variant   string           `json:"variant,omitempty"`
	Task      string           `json:"task,omitempty"`       // of the model: chat, embedding, ...
	Revision  int              `json:"revision,omitempty"`   // of the model
	Service   string           `json:"service,omitempty"`    // name
	ModelName string           `json:"model_name,omitempty"` // what clients ask for
	Endpoint  string           `json:"endpoint,omitempty"`   // base URL, once it answers
	Example   string           `json:"example,omitempty"`    // a command that asks it
}

// InstallStep is one part of an install.
type InstallStep struct {
	Step      string     `json:"step"`           // resolve, license, plan, download, folder, image, service, start, test, calibrate
	Status    string     `json:"status"`         // WAITING, WORKING, FINISHED, SKIPPED, FAILED, CANCELLED
	Note      string     `json:"note,omitempty"` // what came of it
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// InstallTransfer is how far a download is, a pull, or whatever takes its time.
type InstallTransfer struct {
	Files   int     `json:"files"`
	Done    int     `json:"done"`              // files
	Bytes   int64   `json:"bytes"`             // 0: not known
	Here    int64   `json:"here"`              // of them
	Reused  int64   `json:"reused"`            // of those: were on the box already
	Speed   float64 `json:"speed"`             // bytes a second
	Left    float64 `json:"left"`              // seconds; 0: not known
	Current string  `json:"current,omitempty"` // a file that comes
	Message string  `json:"message,omitempty"` // what else goes on
}

// Model is an installed model.
type Model struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Project     string          `json:"project"`
	Source      string          `json:"source"`           // what it was installed by
	Origin      string          `json:"origin,omitempty"` // catalog of its recipe
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Homepage    string          `json:"homepage,omitempty"`
	License     string          `json:"license,omitempty"`
	LicenseURL  string          `json:"license_url,omitempty"`
	Task        string          `json:"task,omitempty"`
	Tags        []string        `json:"tags,omitempty"`
	Parameters  int64           `json:"parameters,omitempty"`
	Pinned      bool            `json:"pinned"`
	Status      string          `json:"status"`            // ready, installing, updating, rolling back, failed, incomplete
	Current     int             `json:"current"`           // revision; 0: none came up yet
	Variant     string          `json:"variant,omitempty"` // of the current revision
	Bytes       int64           `json:"bytes"`             // of all revisions, each content once
	Service     string          `json:"service,omitempty"` // name
	ServiceID   string          `json:"service_id,omitempty"`
	UsedBy      []string        `json:"used_by,omitempty"`
	CreatedBy   string          `json:"created_by"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Revisions   []ModelRevision `json:"revisions"`
}

// ModelRevision is one version of a model's files, and of how they run.
type ModelRevision struct {
	Number    int         `json:"number"`
	Current   bool        `json:"current"`
	Good      bool        `json:"good"`             // it came up and answered
	Recipe    string      `json:"recipe,omitempty"` // version
	Variant   string      `json:"variant"`
	Runtime   string      `json:"runtime"`
	Image     string      `json:"image"`
	From      string      `json:"from,omitempty"`   // place of its files
	Pin       string      `json:"pin,omitempty"`    // revision of that place: a commit, a digest
	Folder    string      `json:"folder,omitempty"` // name
	Bytes     int64       `json:"bytes"`
	Files     []ModelFile `json:"files,omitempty"` // of one model alone
	UsedBy    []string    `json:"used_by,omitempty"`
	CreatedBy string      `json:"created_by"`
	CreatedAt time.Time   `json:"created_at"`
}

// ModelFile is one file of a revision.
type ModelFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ModelUpdate asks for what there is now. What is left out stays as it is.
type ModelUpdate struct {
	Source        string `json:"source,omitempty"` // another recipe or place
	Variant       string `json:"variant,omitempty"`
	Context       int    `json:"context,omitempty"`
	Concurrency   int    `json:"concurrency,omitempty"`
	AcceptLicense bool   `json:"accept_license,omitempty"`
	NoCalibrate   bool   `json:"no_calibrate,omitempty"`
	Force         bool   `json:"force,omitempty"`
}

// ModelRollback asks for an earlier revision.
type ModelRollback struct {
	Revision int `json:"revision,omitempty"` // default: the good one before
}

// ModelPin has a model stay as it is, or not.
type ModelPin struct {
	Pinned bool `json:"pinned"`
}

// ModelRemoved is what a removal gave back.
type ModelRemoved struct {
	Freed int64 `json:"freed"` // bytes of the disk
}
