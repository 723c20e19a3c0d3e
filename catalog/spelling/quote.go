package spelling

import "unicode/utf8"

// Short makes what somebody wrote fit for a message: its first 60 letters, and "..." where there are more.
func Short(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}
