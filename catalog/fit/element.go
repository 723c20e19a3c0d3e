package fit

import (
	"slices"
	"strings"
)

// ElementType is how one number is stored, alone or in blocks that share a scale.
type ElementType struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"` // of a block
	Block int    `json:"block"` // numbers in a block
}

// row is the bytes of so many numbers; rows are whole blocks.
func (e ElementType) row(width int) int64 {
	if e.Block <= 0 {
		return 0
	}
	return int64(roundUp(width, e.Block)/e.Block) * int64(e.Bytes)
}

// smaller reports whether e takes less than other for the same numbers.
func (e ElementType) smaller(other ElementType) bool {
	return e.Bytes*other.Block < other.Bytes*e.Block
}

// The types that caches are kept in, by all names that engines give them.
var elementTypes = []struct {
	names []string
	is    ElementType
}{
	{[]string{"f16", "fp16", "float16", "half"}, ElementType{"f16", 2, 1}},
	{[]string{"bf16", "bfloat16"}, ElementType{"bf16", 2, 1}},
	{[]string{"f32", "fp32", "float32", "float"}, ElementType{"f32", 4, 1}},
	{[]string{"fp8", "fp8_e4m3", "fp8_e5m2", "fp8_e4m3fn", "fp8_inc", "float8_e4m3fn", "int8"}, ElementType{"fp8", 1, 1}},
	{[]string{"q8_0"}, ElementType{"q8_0", 34, 32}},
	{[]string{"q5_1"}, ElementType{"q5_1", 24, 32}},
	{[]string{"q5_0"}, ElementType{"q5_0", 22, 32}},
	{[]string{"q4_1"}, ElementType{"q4_1", 20, 32}},
	{[]string{"q4_0"}, ElementType{"q4_0", 18, 32}},
	{[]string{"iq4_nl"}, ElementType{"iq4_nl", 18, 32}},
	{[]string{"fp4_e2m1", "nvfp4"}, ElementType{"fp4", 9, 16}},
}

// ElementTypeOf finds the type by any name that engines give it: f16, bfloat16, fp8_e4m3, q8_0.
func ElementTypeOf(name string) (ElementType, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, t := range elementTypes {
		if slices.Contains(t.names, name) {
			return t.is, true
		}
	}
	return ElementType{}, false
}

// Half is two bytes, what a cache is kept in unless anybody says otherwise.
func Half() ElementType { return ElementType{"f16", 2, 1} }
