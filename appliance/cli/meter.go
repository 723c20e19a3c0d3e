package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// meter shows how far something of known size is: a bar on a terminal, elsewhere a line where what goes on changes, or
// where nothing was said for long. It is used from one goroutine.
type meter struct {
	show  *progress // without a terminal, or before the size is known
	drawn *progressbar.ProgressBar
	now   func() time.Time
	said  string
}

func (a *app) newMeter() *meter { return &meter{show: a.newProgress(), now: a.now} }

// set says what goes on and how far it is, in bytes; total is 0 or less while it is unknown.
func (b *meter) set(message string, done, total int64) {
	amount := ""
	switch {
	case total > 0:
		amount = fmt.Sprintf(", %s of %s", bytesize.Format(min(done, total)), bytesize.Format(total))
	case done > 0:
		amount = ", " + bytesize.Format(done)
	}
	switch {
	case b.show.off:
	case !b.show.live:
		if message != b.said {
			b.said = message
			b.show.line(b.now(), message+amount)
		}
		b.show.status(b.now(), message+amount)
	case total <= 0:
		b.show.status(b.now(), message+amount)
	default:
		b.draw(message, done, total)
	}
}

func (b *meter) draw(message string, done, total int64) {
	if b.drawn == nil {
		b.show.clear()
		b.drawn = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(b.show.w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(24), progressbar.OptionThrottle(redrawEvery), progressbar.OptionClearOnFinish(),
			progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true))
	}
	if b.drawn.GetMax64() != total {
		b.drawn.ChangeMax64(total)
	}
	// One that is full is taken away: there may be more to come.
	b.drawn.Describe(oneLine(message))
	_ = b.drawn.Set64(min(done, total-1))
}

// clear takes what is rewritten in place away.
func (b *meter) clear() {
	if b.drawn != nil {
		_ = b.drawn.Clear()
		b.drawn = nil
	}
	b.show.clear()
}
