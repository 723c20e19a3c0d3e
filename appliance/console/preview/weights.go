package preview

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Fact is one thing that a file of weights says of itself.
type Fact struct{ Name, Value string }

// Weights is what the header of a file of weights tells.
type Weights struct {
	Facts   []Fact
	Tensors int64
	Types   []Fact // how many tensors, or parameters, there are of each element type
	Cut     bool   // the header is longer than what was read
}

const (
	maxFacts = 100
	maxFact  = 300 // bytes
)

var errHeader = errors.New("the header cannot be read")

// ReadSafetensors reads the header of a .safetensors file, of which begin is how it begins.
func ReadSafetensors(begin []byte) (Weights, error) {
	if len(begin) < 8 {
		return Weights{}, errHeader
	}
	size := binary.LittleEndian.Uint64(begin)
	if size > 100<<20 || size < 2 {
		return Weights{}, errHeader
	}
	if uint64(len(begin)-8) < size {
		return Weights{Cut: true}, nil
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(begin[8:8+size], &header); err != nil {
		return Weights{}, fmt.Errorf("%w: %w", errHeader, err)
	}
	var out Weights
	parameters := map[string]float64{}
	for name, raw := range header {
		if name == "__metadata__" {
			var said map[string]string
			if json.Unmarshal(raw, &said) == nil {
				for k, v := range said {
					out.Facts = append(out.Facts, fact(k, v))
				}
			}
			continue
		}
		var tensor struct {
			Type  string    `json:"dtype"`
			Shape []float64 `json:"shape"`
		}
		if json.Unmarshal(raw, &tensor) != nil {
			continue
		}
		out.Tensors++
		n := 1.0
		for _, d := range tensor.Shape {
			n *= d
		}
		parameters[clean(tensor.Type)] += n
	}
	slices.SortFunc(out.Facts, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
	out.Facts = out.Facts[:min(len(out.Facts), maxFacts)]
	for kind, n := range parameters {
		out.Types = append(out.Types, Fact{kind, parametersOf(n)})
	}
	slices.SortFunc(out.Types, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func parametersOf(n float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if n >= unit.of {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", n/unit.of), ".0") + unit.name
		}
	}
	return fmt.Sprintf("%.0f", n)
}

func fact(name, value string) Fact {
	if len(value) > maxFact {
		value = string(whole([]byte(value[:maxFact]))) + "…"
	}
	return Fact{clean(name), clean(value)}
}

// ggufReader reads values from the beginning of a file; bad is set when it ends before them.
type ggufReader struct {
	left []byte
	bad  bool
}

func (r *ggufReader) take(n uint64) []byte {
	if n > uint64(len(r.left)) {
		r.bad = true
		return nil
	}
	out := r.left[:n]
	r.left = r.left[n:]
	return out
}

func (r *ggufReader) number(size uint64) uint64 {
	var all [8]byte
	copy(all[:], r.take(size))
	return binary.LittleEndian.Uint64(all[:])
}

func (r *ggufReader) text() string { return string(r.take(r.number(8))) }

// sizes of GGUF's value types by their number; 8 is a string, 9 an array.
func ggufSize(kind uint64) uint64 {
	return map[uint64]uint64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]
}

// value reads one as text. Of arrays it tells the length.
func (r *ggufReader) value(kind uint64) string {
	switch size := ggufSize(kind); {
	case kind == 8:
		return r.text()
	case kind == 9:
		of, n := r.number(4), r.number(8)
		for range n {
			if of == 8 {
				r.text()
			} else if each := ggufSize(of); each == 0 || n > uint64(len(r.left))/each {
				r.bad = true
			} else {
				r.take(n * each)
				break
			}
			if r.bad {
				break
			}
		}
		return fmt.Sprintf("[%d]", n)
	case size == 0:
		r.bad = true
		return ""
	default:
		return scalar(kind, r.number(size))
	}
}

func scalar(kind, v uint64) string {
	switch kind {
	case 1:
		return fmt.Sprint(int8(v))
	case 3:
		return fmt.Sprint(int16(v))
	case 5:
		return fmt.Sprint(int32(v))
	case 6:
		return fmt.Sprint(math.Float32frombits(uint32(v)))
	case 7:
		return fmt.Sprint(v != 0)
	case 11:
		return fmt.Sprint(int64(v))
	case 12:
		return fmt.Sprint(math.Float64frombits(v))
	}
	return fmt.Sprint(v)
}

// ReadGGUF reads the header of a GGUF file, of which begin is how it begins.
func ReadGGUF(begin []byte) (Weights, error) {
	if !bytes.HasPrefix(begin, []byte("GGUF")) {
		return Weights{}, errHeader
	}
	r := &ggufReader{left: begin[4:]}
	version := r.number(4)
	tensors, values := r.number(8), r.number(8)
	if r.bad || version < 2 || version > 9 || tensors > 1<<32 || values > 1<<20 {
		return Weights{}, errHeader
	}
	out := Weights{Tensors: int64(tensors), Facts: []Fact{{"version", fmt.Sprint(version)}}}
	for range values {
		name, kind := r.text(), r.number(4)
		value := r.value(kind)
		if r.bad {
			out.Cut = true
			break
		}
		if len(out.Facts) < maxFacts {
			out.Facts = append(out.Facts, fact(name, value))
		}
	}
	return out, nil
}
