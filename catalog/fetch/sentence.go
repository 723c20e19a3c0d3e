package fetch

// sentence is an error of a kind, with what the reader can do.
type sentence struct {
	kind          error
	message, hint string
}

func (s *sentence) Error() string { return s.message }
func (s *sentence) Hint() string  { return s.hint }
func (s *sentence) Unwrap() error { return s.kind }
