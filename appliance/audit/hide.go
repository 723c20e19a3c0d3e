package audit

import (
	"regexp"
	"strings"
)

const hiddenText = "(hidden)"

// What a name of a secret has in it, in texts: a file, a command line, a sentence.
const secretName = `[\w.-]*(?:secret|passw|passphrase|[_-]pwd|token|api_?-?key|credential|private|bearer|authorization|webhook|[_-]key)[\w.-]*`

// What follows a name: in quotes, what a header or a block of YAML goes on with, or a word.
const secretValue = `"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|(?:bearer|basic)\s+[^\s"']+|[|>][+-]?[ \t]*\n(?:[ \t]+.*(?:\n|$))*|[^\s"'&]+`

var (
	valueInText = regexp.MustCompile(`(?i)(` + secretName + `)(["']?[ \t]*[=:][ \t]*)(` + secretValue + `)`)
	flagInText  = regexp.MustCompile(`(?i)(-` + secretName + `)([ \t]+)(` + secretValue + `)`)
	flagAlone   = regexp.MustCompile(`(?i)^-` + secretName + `$`)
	bearer      = regexp.MustCompile(`(?i)\b(bearer)\s+([\w.~+/=-]{8,})`)
	userInURL   = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^/\s@"']+@`)
	privateKey  = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

// Hide is a text without the secrets that can be told by what stands before them: NAME=VALUE, name: value, --name value, the
// user of a URL, a private key.
func Hide(text string) string {
	text = privateKey.ReplaceAllString(text, hiddenText)
	text = userInURL.ReplaceAllString(text, "${1}"+hiddenText+"@")
	text = hideValues(valueInText, text)
	text = hideValues(flagInText, text)
	return bearer.ReplaceAllString(text, "$1 "+hiddenText)
}

func hideValues(of *regexp.Regexp, text string) string {
	return of.ReplaceAllStringFunc(text, func(found string) string {
		m := of.FindStringSubmatch(found)
		if m == nil || shown.MatchString(m[1]) {
			return found
		}
		end := ""
		if strings.HasSuffix(m[3], "\n") {
			end = "\n"
		}
		return m[1] + m[2] + hiddenText + end
	})
}

// HideWords is Hide of the words of a command line: what follows --password is one too.
func HideWords(words []string) []string {
	out := make([]string, 0, len(words))
	before := ""
	for _, word := range words {
		if flagAlone.MatchString(before) && !shown.MatchString(before) && !strings.HasPrefix(word, "-") {
			out = append(out, hiddenText)
		} else {
			out = append(out, Hide(word))
		}
		before = word
	}
	return out
}
