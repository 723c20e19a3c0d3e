package folders

// fault is an error with a kind to test for and a hint for the person who caused it.
type fault struct {
	kind    error
	message string
	hint    string
	cause   error // or nil
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.message + ": " + f.cause.Error()
	}
	return f.message
}

// Hint says what to do about it.
func (f *fault) Hint() string { return f.hint }

func (f *fault) Unwrap() []error {
	if f.cause != nil {
		return []error{f.kind, f.cause}
	}
	return []error{f.kind}
}
