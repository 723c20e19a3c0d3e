package process

import (
	"testing"
)

func TestCPUSet(t *testing.T) {
	for text, want := range map[string][]int{"0": {0}, "0-3,8": {0, 1, 2, 3, 8}, "62-65": {62, 63, 64, 65}} {
		set, err := cpuSet(text)
		if err != nil || set.Count() != len(want) {
			t.Errorf("%q: %v, %d cores", text, err, set.Count())
		}
		for _, core := range want {
			if !set.IsSet(core) {
				t.Errorf("%q does not hold %d", text, core)
			}
		}
	}
	for _, text := range []string{"", "a", "3-1", "-1", "0-", "0,,1", "0-99999999"} {
		if _, err := cpuSet(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
