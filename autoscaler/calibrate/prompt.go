package calibrate

import (
	"math/rand/v2"
	"strings"
)

// words are common ones, which most tokenizers have as one token each.
const words = "time year people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work government number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city"

// prompt is a text of n words in no order that came before: no cache of prompts has any of it, but for what a chat's template
// puts in front.
func prompt(n int) string {
	all := strings.Fields(words)
	var b strings.Builder
	for range n {
		b.WriteString(all[rand.IntN(len(all))])
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}
