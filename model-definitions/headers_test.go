package modeldefinitions_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing/fstest"
	"time"
)

// folder is a model's folder of which only the beginnings of files are there: the weights behind a header are claimed by its
// size, and nobody reads them.
type folder map[string]claimed

// claimed is a file that begins so and says that it has so many bytes.
type claimed struct {
	head []byte
	size int64
}

func (f folder) Open(name string) (fs.File, error) {
	if c, ok := f[name]; ok {
		return &openClaimed{claimed: c, name: name, rest: bytes.NewReader(c.head)}, nil
	}
	whole := make(fstest.MapFS, len(f))
	for name := range f {
		whole[name] = &fstest.MapFile{}
	}
	return whole.Open(name)
}

func (f folder) Stat(name string) (fs.FileInfo, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	return file.Stat()
}

type openClaimed struct {
	claimed
	name string
	rest io.Reader
}

func (o *openClaimed) Read(p []byte) (int, error) { return o.rest.Read(p) }
func (o *openClaimed) Close() error               { return nil }
func (o *openClaimed) Stat() (fs.FileInfo, error) { return o, nil }
func (o *openClaimed) Name() string               { return o.name }
func (o *openClaimed) Size() int64                { return o.size }
func (o *openClaimed) Mode() fs.FileMode          { return 0o444 }
func (o *openClaimed) ModTime() time.Time         { return time.Time{} }
func (o *openClaimed) IsDir() bool                { return false }
func (o *openClaimed) Sys() any                   { return nil }

// stored is the bits of an element by safetensors' names.
var stored = map[string]int64{"F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "U8": 8, "I32": 32}

// header collects the entries of a safetensors file.
type header struct {
	entries map[string]any
	end     int64
}

func (h *header) put(name, dtype string, shape ...int64) {
	n := stored[dtype] / 8
	for _, side := range shape {
		n *= side
	}
	h.entries[name] = map[string]any{"dtype": dtype, "shape": shape, "data_offsets": []int64{h.end, h.end + n}}
	h.end += n
}

// safetensors is the file that these tensors make in a format:
//
//	f32, bf16, f16  all of them so
//	fp8             matrices and experts in 8 bits, with a number for each block of 128 by 128
//	fp8-tensor      the same, with one number for each tensor
//	fp8-row         the same, with one for each row
//	fp8-ffn         the same, of feed-forward parts alone, and not those of the first and the last layer
//	awq             matrices in 4 bits, with a scale and a zero point for each 128
//	mxfp4           experts in 4 bits, with 8 bits for each 32
func safetensors(tensors []tensor, format string) (claimed, error) {
	h := &header{entries: make(map[string]any)}
	half := "BF16"
	switch format {
	case "f32":
		half = "F32"
	case "f16", "awq":
		half = "F16"
	case "bf16", "fp8", "fp8-tensor", "fp8-row", "fp8-ffn", "mxfp4":
	default:
		return claimed{}, fmt.Errorf("%q is no format of safetensors", format)
	}
	last := 0
	for _, t := range tensors {
		last = max(last, t.layer)
	}
	for i, t := range tensors {
		name := fmt.Sprintf("model.layers.%d.%d", t.layer, i)
		packed := t.class == matrix || t.class == expert
		if format == "fp8-ffn" {
			packed = packed && slices.Contains([]string{"gate", "up", "down"}, t.role) && t.layer > 0 && t.layer < last
		}
		switch {
		case t.class == embedding && t.layer == 0 && i == 0:
			h.put("model.embed_tokens.weight", half, t.shape...)
		case t.class == head:
			h.put(name+".lm_head.weight", half, t.shape...)
		case packed && len(format) > 2 && format[:3] == "fp8":
			h.eight(name, t.shape, format)
		case packed && format == "awq":
			rows, columns := t.shape[len(t.shape)-2], t.shape[len(t.shape)-1]
			h.put(name+".qweight", "I32", columns, rows/8)
			h.put(name+".qzeros", "I32", columns/128, rows/8)
			h.put(name+".scales", "F16", columns/128, rows)
		case t.class == expert && format == "mxfp4":
			h.put(name+"_blocks", "U8", t.shape[0], t.shape[1], t.shape[2]/32, 16)
			h.put(name+"_scales", "U8", t.shape[0], t.shape[1], t.shape[2]/32)
		default:
			h.put(name+".weight", half, t.shape...)
		}
	}
	return h.file()
}

// eight is a matrix in 8 bits, and what it is multiplied by.
func (h *header) eight(name string, shape []int64, format string) {
	h.put(name+".weight", "F8_E4M3", shape...)
	rows, columns := shape[len(shape)-2], shape[len(shape)-1]
	scales := slices.Clone(shape[:len(shape)-2])
	switch format {
	case "fp8":
		h.put(name+".weight_scale_inv", "BF16", append(scales, (rows+127)/128, (columns+127)/128)...)
	case "fp8-row", "fp8-ffn":
		h.put(name+".weight_scale", "BF16", append(scales, rows, 1)...)
	default:
		h.put(name+".weight_scale", "BF16", append(scales, 1)...)
	}
}

func (h *header) file() (claimed, error) {
	src, err := json.Marshal(h.entries)
	if err != nil {
		return claimed{}, fmt.Errorf("writing a header: %w", err)
	}
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(src)))
	head = append(head, src...)
	return claimed{head: head, size: int64(len(head)) + h.end}, nil
}
