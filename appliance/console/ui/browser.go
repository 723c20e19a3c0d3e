package ui

import "strings"

// Browser names a browser and its system by what it calls itself, and says whether it is held in a hand. What is not known is
// its first word.
func Browser(agent string) (program, system string, phone bool) {
	has := func(one string) bool { return strings.Contains(agent, one) }
	// Most claim to be others too: who claims most comes first.
	for _, known := range [][2]string{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Whale/", "Whale"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}, {"palisade/", "palisade"}, {"curl/", "curl"},
	} {
		if has(known[0]) {
			program = known[1]
			break
		}
	}
	for _, known := range [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if has(known[0]) {
			system = known[1]
			break
		}
	}
	if program == "" {
		program, _, _ = strings.Cut(agent, " ")
		program, _, _ = strings.Cut(program, "/")
		if letters := []rune(program); len(letters) > 32 {
			program = string(letters[:32])
		}
	}
	return program, system, has("Mobile") || system == "iPhone" || system == "iPad" || system == "Android"
}
