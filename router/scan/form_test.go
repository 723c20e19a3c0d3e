package scan

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFormModel(t *testing.T) {
	const contentType = "multipart/form-data; boundary=b"
	field := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	file := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\n" + strings.Repeat("RIFF--b\r\n", 20000) + "\r\n"
	broken := errors.New("broken")
	for _, c := range []struct {
		name, contentType string
		body              io.Reader
		want              string
		err               error
	}{
		{"first", contentType, strings.NewReader(field("model", "a") + file), "a", nil},
		{"last", contentType, strings.NewReader(file + field("model", "a") + "--b--\r\n"), "a", nil},
		{"in bytes", contentType, iotest.OneByteReader(strings.NewReader(file + field("model", "a/b") + "--b--")), "a/b", nil},
		{"empty", contentType, strings.NewReader(field("model", "") + "--b--\r\n"), "", nil},
		{"none", contentType, strings.NewReader(file + "--b--\r\n"), "", ErrNoModel},
		{"too long", contentType, strings.NewReader(field("model", strings.Repeat("m", MaxModel+1)) + "--b--\r\n"), "", ErrModelTooLong},
		{"cut off", contentType, strings.NewReader(file[:1000]), "", ErrBadForm},
		{"cut off in the model", contentType, strings.NewReader(field("model", "abcdefgh")[:60]), "", ErrBadForm},
		{"nothing", contentType, strings.NewReader(""), "", ErrBadForm},
		{"no boundary", "multipart/form-data", strings.NewReader(field("model", "a")), "", ErrBadForm},
		{"a client that breaks", contentType, io.MultiReader(strings.NewReader(file[:1000]), iotest.ErrReader(broken)), "", broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FormModel(c.body, c.contentType)
			if got != c.want || !errors.Is(err, c.err) || (err != nil && c.err == nil) {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}
