package fit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// ggufType is how GGML stores numbers: blocks of so many in so many bytes.
type ggufType struct {
	name  string
	block int64
	bytes int64
}

// The types of GGUF tensors by their number in the file.
var ggufTypes = map[uint32]ggufType{
	0: {"F32", 1, 4}, 1: {"F16", 1, 2}, 2: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	8: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 36}, 10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292}, 16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74},
	18: {"IQ3_XXS", 256, 98}, 19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110}, 22: {"IQ2_S", 256, 82},
	23: {"IQ4_XS", 256, 136}, 24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
	29: {"IQ1_M", 256, 56}, 30: {"BF16", 1, 2}, 34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66}, 39: {"MXFP4", 32, 17}, 40: {"NVFP4", 64, 36},
}

// ggufFileTypes are the names of general.file_type that people know.
var ggufFileTypes = map[int64]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L",
	14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
	23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M",
	32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}

// Numbers of the types of values in the metadata.
const (
	ggufString = 8
	ggufArray  = 9
)

// sizes of the values that have a fixed one.
var ggufSizes = map[uint32]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

const (
	ggufMaxCount  = 1 << 20 // of keys and of tensors
	ggufMaxString = 1 << 12 // of a value that is kept; longer ones are passed over
	ggufMaxList   = 1 << 12 // of an array that is kept: one entry a layer
	ggufMaxKept   = 8 << 20 // bytes of all values that are kept
)

// metadata is the keys of a GGUF file that are of use here. Numbers and booleans are int64 or []int64.
type metadata map[string]any

// ggufReader reads a header. The first error stays.
type ggufReader struct {
	name string
	from *bufio.Reader
	left int64 // bytes that may still be read
	read int64
	err  error
}

func (r *ggufReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = damaged(r.name, format, args...)
	}
}

func (r *ggufReader) take(n int64) bool {
	if r.err == nil && (n < 0 || n > r.left) {
		r.fail("its header does not end: a value of %d bytes where %d are left", n, r.left)
	}
	if r.err != nil {
		return false
	}
	r.left -= n
	r.read += n
	return true
}

func (r *ggufReader) bytes(n int64) []byte {
	if !r.take(n) {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.from, b); err != nil {
		r.fail("ends within its header")
		return nil
	}
	return b
}

func (r *ggufReader) skip(n int64) {
	if !r.take(n) {
		return
	}
	if _, err := io.CopyN(io.Discard, r.from, n); err != nil {
		r.fail("ends within its header")
	}
}

func (r *ggufReader) number(size int64) uint64 {
	b := r.bytes(size)
	if b == nil {
		return 0
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:])
}

// text reads a string; one that is too long to be of use is passed over and "".
func (r *ggufReader) text() string {
	n := r.number(8)
	if n > uint64(math.MaxInt64) {
		r.fail("has a string of %d bytes", n)
		return ""
	}
	if n > ggufMaxString {
		r.skip(int64(n))
		return ""
	}
	return string(r.bytes(int64(n)))
}

// value reads one value: string, int64, []int64, or nil where it is of no use.
func (r *ggufReader) value(kind uint32) any {
	switch kind {
	case ggufString:
		return r.text()
	case ggufArray:
		return r.array()
	}
	size, ok := ggufSizes[kind]
	if !ok {
		r.fail("has a value of a type %d, which is not known", kind)
		return nil
	}
	return whole(kind, r.number(size))
}

func (r *ggufReader) array() any {
	kind, n := uint32(r.number(4)), r.number(8)
	if n > uint64(r.left) {
		r.fail("has an array of %d values", n)
		return nil
	}
	if kind == ggufString {
		for range n {
			if r.err != nil {
				return nil
			}
			size := r.number(8)
			if size > uint64(math.MaxInt64) {
				r.fail("has a string of %d bytes", size)
			}
			r.skip(int64(size))
		}
		return nil
	}
	size, ok := ggufSizes[kind]
	if !ok { // arrays of arrays are allowed by the format and used by nobody
		r.fail("has an array of a type %d, which is not known", kind)
		return nil
	}
	if n > ggufMaxList {
		r.skip(times(int64(n), size))
		return nil
	}
	list := make([]int64, 0, n)
	for range n {
		v, _ := whole(kind, r.number(size)).(int64)
		list = append(list, v)
	}
	return list
}

// whole is a stored number as an integer. Nothing that is of use here is larger than a trillion.
func whole(kind uint32, v uint64) any {
	switch kind {
	case 1:
		return int64(int8(v))
	case 3:
		return int64(int16(v))
	case 5:
		return int64(int32(v))
	case 6:
		return truncated(float64(math.Float32frombits(uint32(v))))
	case 12:
		return truncated(math.Float64frombits(v))
	}
	return int64(min(v, 1<<40))
}

func truncated(f float64) int64 {
	if math.IsNaN(f) || math.Abs(f) > 1<<40 {
		return 0
	}
	return int64(f)
}

// readGGUF adds the tensors of one file and returns its metadata.
func (w *weights) readGGUF(files fs.FS, name string) (metadata, error) {
	f, size, err := open(files, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &ggufReader{name: name, from: bufio.NewReaderSize(f, 1<<16), left: min(size, maxKeys)}
	tensors, keys := r.preamble()
	meta, kept := make(metadata), 0
	for range keys {
		if r.err != nil {
			return nil, r.err
		}
		key := r.text()
		v := r.value(uint32(r.number(4)))
		if list, ok := v.([]int64); ok {
			kept += 8 * len(list)
		}
		if text, ok := v.(string); ok {
			kept += len(text)
		}
		if kept += len(key) + 64; v != nil && kept < ggufMaxKept {
			meta[key] = v
		}
	}
	var sum, end int64
	for range tensors {
		if r.err != nil {
			return nil, r.err
		}
		bytes, offset := r.tensor(w)
		sum, end = plus(sum, bytes), max(end, plus(offset, bytes))
	}
	if r.err != nil {
		return nil, r.err
	}
	alignment, _ := meta["general.alignment"].(int64)
	if alignment <= 0 || alignment > 1<<20 {
		alignment = 32
	}
	data := (r.read + alignment - 1) / alignment * alignment
	if tensors > 0 && (plus(data, end) > size || sum > size) {
		return nil, damaged(name, "its tensors end at byte %d, the file has %d: it is not all there", plus(data, end), size)
	}
	w.files = append(w.files, File{Name: name, Bytes: size})
	return meta, nil
}

// preamble reads what a file begins with.
func (r *ggufReader) preamble() (tensors, keys uint64) {
	if magic := r.bytes(4); r.err == nil && string(magic) != "GGUF" {
		r.fail("does not begin with GGUF")
	}
	version := uint32(r.number(4))
	switch {
	case r.err != nil:
		return 0, 0
	case version&0xffff == 0 && version != 0:
		r.fail("is for machines with the other order of bytes")
	case version != 2 && version != 3:
		r.fail("has version %d of the format; 2 and 3 are known", version)
	}
	tensors, keys = r.number(8), r.number(8)
	if tensors > ggufMaxCount || keys > ggufMaxCount {
		r.fail("claims %d tensors and %d keys", tensors, keys)
	}
	return tensors, keys
}

// tensor counts one tensor and returns how many bytes it has and where it begins.
func (r *ggufReader) tensor(w *weights) (bytes, offset int64) {
	name := r.text()
	dims := r.number(4)
	if dims > 8 {
		r.fail("%q has %d dimensions", shortened(name), dims)
		return 0, 0
	}
	elements, columns := int64(1), int64(1)
	var shape []int64
	for i := range dims {
		side := int64(min(r.number(8), huge))
		if i == 0 {
			columns = side
		}
		shape = append(shape, side)
		elements = times(elements, side)
	}
	number, start := uint32(r.number(4)), r.number(8)
	if r.err != nil {
		return 0, 0
	}
	t, known := ggufTypes[number]
	switch {
	case !known:
		w.doubt(fmt.Sprintf("a tensor type %d is not known: its bytes are guessed as 4 bits a weight", number))
		t = ggufType{"type " + strconv.Itoa(int(number)), 2, 1}
	case columns%t.block != 0 || elements >= huge/8 || start > huge:
		r.fail("%q has rows of %d, which %s cannot hold", shortened(name), columns, t.name)
		return 0, 0
	}
	bytes = elements / t.block * t.bytes
	w.count(name, t.name, bytes, elements, shape)
	return bytes, int64(min(start, huge))
}

var ggufShard = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.([gG][gG][uU][fF])$`)

// ggufParts names all files of the model that name is, or is a part of.
func ggufParts(files fs.FS, name string) ([]string, error) {
	m := ggufShard.FindStringSubmatch(path.Base(name))
	if m == nil {
		return []string{name}, nil
	}
	count, _ := strconv.Atoi(m[3])
	if count < 1 || count > maxShards {
		return nil, damaged(name, "is one of %d parts", count)
	}
	names := make([]string, count)
	for i := range names {
		names[i] = path.Join(path.Dir(name), fmt.Sprintf("%s-%05d-of-%s.%s", m[1], i+1, m[3], m[4]))
		if _, err := fs.Stat(files, names[i]); err != nil {
			return nil, damaged(name, "is split in %d, and part %d is missing", count, i+1)
		}
	}
	return names, nil
}

// number returns the first of the keys that is a number.
func (m metadata) number(keys ...string) int {
	for _, key := range keys {
		if v, ok := m[key].(int64); ok {
			return int(min(max(v, 0), sane))
		}
	}
	return 0
}

// each returns a value for each layer: the same for all, or one of a list; absent where the file has none.
func (m metadata) each(key string, layers, absent int) []int {
	out := make([]int, layers)
	list, _ := m[key].([]int64)
	for i := range out {
		switch {
		case i < len(list):
			out[i] = int(min(max(list[i], 0), sane))
		case len(list) > 0:
			out[i] = int(min(max(list[i%len(list)], 0), sane))
		default:
			out[i] = absent
			if _, ok := m[key].(int64); ok {
				out[i] = m.number(key)
			}
		}
	}
	return out
}

func (m metadata) text(key string) string {
	s, _ := m[key].(string)
	return strings.TrimSpace(s)
}
