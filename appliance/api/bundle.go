package api

import "time"

// Bundle is a model in one file that was brought to this box: what it says of itself.
type Bundle struct {
	Name       string        `json:"name"`    // of its recipe
	Version    string        `json:"version"` // of its recipe
	Title      string        `json:"title"`
	Source     string        `json:"source"` // what an install takes: bundle/NAME
	Digest     string        `json:"digest"` // SHA-256 of its table of contents: two with one digest are the same
	License    BundleLicense `json:"license"`
	Origin     string        `json:"origin"`      // where its files were from; empty: not said
	Variant    string        `json:"variant"`     // of the recipe, that ran where it was made
	Files      int           `json:"files"`       // of the model
	Bytes      int64         `json:"bytes"`       // of these files
	Image      string        `json:"image"`       // the engine's; empty: none is in it
	ImageUsed  bool          `json:"image_used"`  // false: this appliance runs plain processes, and left it out
	SignedBy   string        `json:"signed_by"`   // key; empty: it is not signed by one that is trusted
	MadeAt     time.Time     `json:"made_at"`     // where it was made
	MadeBy     string        `json:"made_by"`     // palisade 1.2.3
	ReceivedAt time.Time     `json:"received_at"` // here; zero of one that is only looked at
	// Here are bytes of the files of one that is only looked at, in their order: an upload that was cut off goes on without them.
	Here int64 `json:"here,omitempty"`
}

// BundleLicense is what whoever installs it agrees to.
type BundleLicense struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Accept bool   `json:"accept"` // in so many words
}
