// Package gguf owns the making of very small language models: GGUF files of the llama architecture that
// llama.cpp and its kin load like any other, built from a sentence or from a seed instead of by training.
// They are for first steps, tests and measurements, where a real engine has to answer but what it
// knows does not matter. It knows the file format and nothing of engines, services or folders.
package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Model is a whole model, ready to be written. The same arguments make the same bytes, on any machine.
type Model struct {
	settings []setting
	tensors  []tensor
}

// setting is one key of the file's header. Its value is one of uint32, float32, bool, string, []string,
// []float32 and []int32.
type setting struct {
	key   string
	value any
}

// tensor is one matrix of weights. Its values are asked for while it is written, row after row, so that
// a model never lies in memory as a whole.
type tensor struct {
	name string
	cols int // the dimension that is contiguous, and that the file names first
	rows int // 0 for a vector
	half bool
	at   func(row, col int) float32
}

func (t tensor) dims() []uint64 {
	if t.rows == 0 {
		return []uint64{uint64(t.cols)}
	}
	return []uint64{uint64(t.cols), uint64(t.rows)}
}

func (t tensor) bytes() int {
	n := 4
	if t.half {
		n = 2
	}
	return n * t.cols * max(t.rows, 1)
}

// The format's numbers, GGUF version 3.
const (
	magic     = "GGUF"
	version   = 3
	alignment = 32 // of every tensor's first byte, counted from the start of the data

	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9

	tensorF32 = 0
	tensorF16 = 1
)

// WriteTo writes the file to w and returns how many bytes it has. The error is w's own.
func (m *Model) WriteTo(w io.Writer) (int64, error) {
	f := &file{to: bufio.NewWriterSize(w, 1<<16)}
	f.raw([]byte(magic))
	f.put(uint32(version))
	f.put(uint64(len(m.tensors)))
	f.put(uint64(len(m.settings)))
	for _, s := range m.settings {
		f.text(s.key)
		f.value(s.value)
	}
	var offset uint64
	for _, t := range m.tensors {
		f.text(t.name)
		dims := t.dims()
		f.put(uint32(len(dims)))
		f.put(dims)
		if t.half {
			f.put(uint32(tensorF16))
		} else {
			f.put(uint32(tensorF32))
		}
		f.put(offset)
		offset += uint64(aligned(t.bytes()))
	}
	f.pad()
	for _, t := range m.tensors {
		f.weights(t)
		f.pad()
	}
	if f.err == nil {
		f.err = f.to.Flush()
	}
	if f.err != nil {
		return f.written, fmt.Errorf("writing a GGUF file: %w", f.err)
	}
	return f.written, nil
}

func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }

// file writes the format's parts. The first error stays, and what follows it writes nothing: a caller
// looks once, at the end.
type file struct {
	to      *bufio.Writer
	written int64
	err     error
}

func (f *file) raw(b []byte) {
	if f.err != nil {
		return
	}
	n, err := f.to.Write(b)
	f.written += int64(n)
	f.err = err
}

func (f *file) put(v any) {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil && f.err == nil {
		f.err = err
	}
	f.raw(b)
}

func (f *file) text(s string) {
	f.put(uint64(len(s)))
	f.raw([]byte(s))
}

func (f *file) pad() { f.raw(make([]byte, aligned(int(f.written))-int(f.written))) }

func (f *file) array(elem uint32, n int) {
	f.put(uint32(typeArray))
	f.put(elem)
	f.put(uint64(n))
}

func (f *file) value(v any) {
	switch v := v.(type) {
	case uint32:
		f.put(uint32(typeUint32))
		f.put(v)
	case float32:
		f.put(uint32(typeFloat32))
		f.put(v)
	case bool:
		f.put(uint32(typeBool))
		f.put(v)
	case string:
		f.put(uint32(typeString))
		f.text(v)
	case []string:
		f.array(typeString, len(v))
		for _, s := range v {
			f.text(s)
		}
	case []float32:
		f.array(typeFloat32, len(v))
		f.put(v)
	case []int32:
		f.array(typeInt32, len(v))
		f.put(v)
	default:
		if f.err == nil {
			f.err = fmt.Errorf("no type for %T", v)
		}
	}
}

func (f *file) weights(t tensor) {
	row := make([]byte, 0, 4*t.cols)
	for r := range max(t.rows, 1) {
		row = row[:0]
		for c := range t.cols {
			if x := t.at(r, c); t.half {
				row = binary.LittleEndian.AppendUint16(row, half(x))
			} else {
				row = binary.LittleEndian.AppendUint32(row, math.Float32bits(x))
			}
		}
		f.raw(row)
	}
}

// half is x as an IEEE 754 half, rounded towards zero: infinity where x is too large, and zero or a subnormal
// where it is too small for a whole one.
func half(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits>>16) & 0x8000
	exponent := int(bits>>23&0xff) - 127 + 15
	mantissa := bits & 0x7fffff
	switch {
	case exponent >= 31:
		return sign | 0x7c00
	case exponent < -10:
		return sign
	case exponent <= 0:
		return sign | uint16((mantissa|0x800000)>>(14-exponent))
	}
	return sign | uint16(exponent)<<10 | uint16(mantissa>>13)
}
