package fit

import "strings"

// packing is how a quantization hides several weights in one stored element, and what it stores beside them.
type packing struct {
	method string // gptq, awq, bitsandbytes, ...
	bits   int    // of one weight; 0 where the config does not say
}

// beside are the ends of names of what belongs to quantized weights and is no weight itself.
var beside = []string{
	".qzeros", ".scales", ".g_idx", "_scales", ".weight_scale", ".weight_scale_2", ".weight_scale_inv", ".input_scale", ".absmax",
	".weight_zero_point", ".weight_shape", ".weight_g_idx", ".quant_map", ".nested_absmax", ".nested_quant_map",
	".k_scale", ".v_scale", ".SCB", ".weight_format",
}

// parameters is how many weights a stored tensor holds.
func (p packing) parameters(name, dtype string, elements int64) int64 {
	for _, end := range beside {
		if strings.HasSuffix(name, end) {
			return 0
		}
	}
	if strings.Contains(name, ".quant_state") {
		return 0
	}
	bits := int64(p.bits)
	if bits <= 0 || bits > 16 {
		bits = 4
	}
	switch {
	case strings.HasSuffix(name, ".qweight"), strings.HasSuffix(name, ".weight_packed") && dtype == "I32":
		return times(elements, 32/bits)
	case strings.HasSuffix(name, "_blocks") && dtype == "U8", strings.HasSuffix(name, ".weight_packed") && dtype == "U8":
		return times(elements, 2)
	case dtype == "U8" && p.method != "": // bitsandbytes and NVFP4 pack two into a byte
		return times(elements, 2)
	}
	return elements
}
