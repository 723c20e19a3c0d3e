package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// walkArchive has an image exported and shows each file of its archive, as it comes.
func walkArchive(ctx context.Context, export func(context.Context, io.Writer) error, see func(name string, size int64, r io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := export(ctx, to)
		ended <- err
		_ = to.CloseWithError(err) // of a pipe: never an error
	}()
	err := eachFile(from, see)
	if err != nil {
		_ = from.CloseWithError(err)
	} else {
		_, err = io.Copy(io.Discard, from) // what follows the end of a tar
	}
	if exported := <-ended; err == nil {
		err = exported // else it is what the other end was told, or of no interest any more
	}
	return err
}

func eachFile(r io.Reader, see func(name string, size int64, r io.Reader) error) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading its archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := see(path.Clean(h.Name), h.Size, in); err != nil {
			return err
		}
	}
}
