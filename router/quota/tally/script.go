package tally

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name that Redis gives to a script
	_ "embed"
	"encoding/hex"
	"sync"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/common.lua
	commonText string
	//go:embed lua/batch.lua
	batchText string
	//go:embed lua/sync.lua
	syncText string
	//go:embed lua/beat.lua
	beatText string
)

// quiet has go-redis print nothing: what it would say is in the errors that it returns.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// script is one that Redis runs, and the name by which it knows it.
type script struct{ text, sum string }

// Written once, here.
var (
	batchScript = newScript(commonText + batchText)
	syncScript  = newScript(commonText + syncText)
	beatScript  = newScript(beatText)
)

func scripts() []*script { return []*script{&batchScript, &syncScript, &beatScript} }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return script{text, hex.EncodeToString(sum[:])}
}
