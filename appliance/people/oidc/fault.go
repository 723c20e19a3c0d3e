package oidc

// Kind is why somebody was not let in.
type Kind string

// The kinds, as they stand in addresses.
const (
	Unknown   Kind = "unknown"   // there is no such provider
	Away      Kind = "away"      // it cannot be reached
	Broken    Kind = "broken"    // an administrator has something to mend
	Stale     Kind = "stale"     // begun too long ago, by another browser, or finished before
	Cancelled Kind = "cancelled" // the person did not want to
	Refused   Kind = "refused"   // the provider did not, or is not believed
	Domain    Kind = "domain"    // their address is not of a domain that is let in
)

// Fault is a log-in that came to nothing.
type Fault struct {
	Kind   Kind
	Text   string
	Advice string // what to do; may be empty
	Cause  error  // for the log
}

func (f *Fault) Error() string { return f.Text }
func (f *Fault) Unwrap() error { return f.Cause }

// Hint says what to do.
func (f *Fault) Hint() string { return f.Advice }
