package scan

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
)

// ErrBadForm is a body that is no multipart form, or not a whole one.
var ErrBadForm = errors.New("the body is not a whole multipart form")

// FormModel gives the field model of a multipart form, and reads no further than to its end. contentType is that of the
// request. Errors are ErrBadForm, ErrNoModel, ErrModelTooLong and those of r, as they are.
func FormModel(r io.Reader, contentType string) (string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return "", fmt.Errorf("%w: its Content-Type has no boundary", ErrBadForm)
	}
	from := &source{Reader: r}
	form := multipart.NewReader(from, params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err == io.EOF { //nolint:errorlint // wrapped, it is the end of a form that was cut off
			return "", ErrNoModel
		}
		var value []byte
		if err == nil && part.FormName() == "model" {
			value, err = io.ReadAll(io.LimitReader(part, MaxModel+1))
		}
		switch {
		case from.err != nil:
			return "", from.err
		case err != nil:
			return "", ErrBadForm
		case len(value) > MaxModel:
			return "", ErrModelTooLong
		case part.FormName() == "model":
			return string(value), nil
		}
	}
}

// source keeps the error of its reader, which the form's reader hides.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
