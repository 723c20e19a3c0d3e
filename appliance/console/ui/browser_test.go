package ui

import "testing"

func TestBrowser(t *testing.T) {
	for agent, want := range map[string]struct {
		program, system string
		phone           bool
	}{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                                      {"Chrome", "Linux", false},
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":              {"Edge", "Windows", false},
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                      {"Safari", "macOS", false},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1":    {"Safari", "iPhone", true},
		"Mozilla/5.0 (Linux; Android 15; SM-S931N) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": {"Samsung Internet", "Android", true},
		"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0":                                                             {"Firefox", "Linux", false},
		"curl/8.5.0":        {"curl", "", false},
		"":                  {"", "", false},
		"<script>/1 hm":     {"<script>", "", false},
		"palisade/1.2 (go)": {"palisade", "", false},
		"ab가나다라마바사아자차카타파하가나다라마바사아자차카타파하가나다라마바사": {"ab가나다라마바사아자차카타파하가나다라마바사아자차카타파하가나", "", false},
	} {
		if program, system, phone := Browser(agent); program != want.program || system != want.system || phone != want.phone {
			t.Errorf("Browser(%q) = %q, %q, %v", agent, program, system, phone)
		}
	}
}
