package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/palisade-run/palisade/catalog/signature"
)

// Copy copies a bundle while it verifies every byte of it, and signs it when there is a signer; a signature that was there is
// replaced then. It returns what it has written.
func Copy(ctx context.Context, r io.Reader, w io.Writer, signer *signature.Signer, tell Progress) (Head, error) {
	out := &splice{w: w}
	begin := func(h Head) (Taker, error) {
		if signer == nil {
			return nil, out.pass()
		}
		sig, err := signer.Sign(bytes.NewReader(h.raw), "palisade bundle "+h.Name)
		if err != nil {
			return nil, fmt.Errorf("signing the bundle: %w", err)
		}
		contents := h.raw
		return nil, out.replace(func(w io.Writer) error {
			sum, sigSum := sha256.Sum256(contents), sha256.Sum256(sig)
			err := writeEntry(w, namePrefix+hex.EncodeToString(sum[:])+contentsSuffix, contents)
			return errors.Join(err, writeEntry(w, namePrefix+hex.EncodeToString(sigSum[:])+sigSuffix, sig))
		}, h)
	}
	return Read(ctx, io.TeeReader(r, out), begin, tell)
}

// splice holds back how a bundle begins until it is known what is to stand there, and lets everything else pass.
type splice struct {
	w    io.Writer
	held bytes.Buffer
	open bool
}

// Write implements io.Writer.
func (s *splice) Write(p []byte) (int, error) {
	if s.open {
		return s.w.Write(p)
	}
	return s.held.Write(p)
}

// pass lets what was held go.
func (s *splice) pass() error {
	s.open = true
	_, err := s.w.Write(s.held.Bytes())
	s.held = bytes.Buffer{}
	return err
}

// replace writes something else in place of the table of contents and the signature; the header of the first entry may have
// been read already.
func (s *splice) replace(write func(io.Writer) error, h Head) error {
	if err := write(s.w); err != nil {
		return err
	}
	skip := block + padded(int64(len(h.raw)))
	if len(h.Signature) > 0 {
		skip += block + padded(int64(len(h.Signature)))
	}
	s.held.Next(int(skip))
	return s.pass()
}
