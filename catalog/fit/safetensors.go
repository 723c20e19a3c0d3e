package fit

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// weights is what was counted in files of tensors.
type weights struct {
	parameters int64
	bytes      int64
	byType     map[string]int64 // bytes of each stored type
	files      []File
	names      tensorNames
	unknown    []string
}

// tensorNames is what the presence of a tensor tells.
type tensorNames struct {
	head      bool // an output matrix of its own
	embedding int64
}

// bits of one stored element, by safetensors' names.
var safetensorsBits = map[string]int64{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// tensor is one entry of a safetensors header.
type tensor struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// readSafetensors adds the tensors of one file. packed says how many weights a stored element of a packed tensor holds.
func (w *weights) readSafetensors(files fs.FS, name string, packed packing) error {
	f, size, err := open(files, name)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return damaged(name, "ends within its first 8 bytes")
	}
	length := binary.LittleEndian.Uint64(head[:])
	if length > maxHeader || int64(length) > size-8 || length < 2 {
		return damaged(name, "claims a header of %d bytes, the file has %d", length, size)
	}
	data := size - 8 - int64(length)
	sum, err := w.header(name, json.NewDecoder(io.LimitReader(f, int64(length))), data, packed)
	if err != nil {
		return err
	}
	if sum > data {
		return damaged(name, "its tensors have %d bytes, the file has %d for them: overlapping, or not all there", sum, data)
	}
	w.files = append(w.files, File{Name: name, Bytes: size})
	return nil
}

// header walks through the JSON of a header, one tensor at a time, and returns the bytes of its tensors.
func (w *weights) header(name string, d *json.Decoder, data int64, packed packing) (sum int64, err error) {
	broken := func(err error) (int64, error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, damaged(name, "ends within its header")
		}
		return 0, damaged(name, "its header is not the JSON that it should be: %v", err)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return broken(fmt.Errorf("it begins with %v", t))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return broken(err)
		}
		tensorName, _ := key.(string)
		if tensorName == "__metadata__" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return broken(err)
			}
			continue
		}
		var t tensor
		if err := d.Decode(&t); err != nil {
			return broken(err)
		}
		n, err := w.tensor(name, tensorName, t, data, packed)
		if err != nil {
			return 0, err
		}
		sum = plus(sum, n)
	}
	if _, err := d.Token(); err != nil {
		return broken(err)
	}
	return sum, nil
}

// tensor counts one tensor.
func (w *weights) tensor(file, name string, t tensor, data int64, packed packing) (int64, error) {
	n := t.Offsets[1] - t.Offsets[0]
	if t.Offsets[0] < 0 || n < 0 || t.Offsets[1] > data {
		return 0, damaged(file, "%q lies at %d to %d, the file ends at %d: it is not all there", name, t.Offsets[0], t.Offsets[1], data)
	}
	elements := int64(1)
	for _, side := range t.Shape {
		if side < 0 {
			return 0, damaged(file, "%q has a side of %d", name, side)
		}
		elements = times(elements, side)
	}
	bits, known := safetensorsBits[t.DType]
	switch {
	case !known:
		w.doubt("the type " + shortened(t.DType) + " is not known: its parameters are counted from its shape, its bytes from the file")
	case elements >= huge/64 || (elements*bits+7)/8 != n:
		return 0, damaged(file, "%q has %d elements of %s in %d bytes", name, elements, t.DType, n)
	}
	elements = min(elements, times(n, 8)) // of an unknown type: no element has less than a bit
	w.count(name, t.DType, n, packed.parameters(name, t.DType, elements), t.Shape)
	return n, nil
}

// count adds one tensor of any format.
func (w *weights) count(name, dtype string, bytes, parameters int64, shape []int64) {
	if w.byType == nil {
		w.byType = make(map[string]int64)
	}
	w.bytes = plus(w.bytes, bytes)
	w.byType[dtype] += bytes
	w.parameters = plus(w.parameters, parameters)
	switch {
	case strings.HasSuffix(name, "lm_head.weight") || name == "output.weight" || strings.HasSuffix(name, "embed_out.weight"):
		w.names.head = true
	case strings.HasSuffix(name, "embed_tokens.weight") || name == "token_embd.weight" || strings.HasSuffix(name, "wte.weight"):
		if len(shape) == 2 && w.names.embedding == 0 {
			w.names.embedding = parameters
		}
	}
}

func (w *weights) doubt(text string) {
	if !slices.Contains(w.unknown, text) && len(w.unknown) < 16 {
		w.unknown = append(w.unknown, text)
	}
}

// dtype is the stored type that has most of the bytes.
func (w *weights) dtype() string {
	best := ""
	for _, name := range slices.Sorted(maps.Keys(w.byType)) {
		if best == "" || w.byType[name] > w.byType[best] {
			best = name
		}
	}
	return best
}

// shards names the files that an index lists, in the index's own directory.
func shards(files fs.FS, index string) ([]string, error) {
	src, err := document(files, index)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(src, &doc); err != nil {
		return nil, damaged(index, "is not the JSON that it should be: %v", err)
	}
	found := make(map[string]bool)
	for _, name := range doc.Map {
		if name == "" || name != path.Base(name) || name == "." || name == ".." {
			return nil, damaged(index, "%q is not the name of a file beside it", shortened(name))
		}
		if found[name] = true; len(found) > maxShards {
			return nil, damaged(index, "names more than %d files", maxShards)
		}
	}
	if len(found) == 0 {
		return nil, damaged(index, "names no files")
	}
	names := slices.Sorted(maps.Keys(found))
	for i, name := range names {
		names[i] = path.Join(path.Dir(index), name)
		if _, err := fs.Stat(files, names[i]); errors.Is(err, fs.ErrNotExist) {
			return nil, damaged(index, "%s is missing", name)
		}
	}
	return names, nil
}

// shortened keeps what a file says from flooding a message.
func shortened(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}
