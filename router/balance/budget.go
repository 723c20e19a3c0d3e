package balance

import "sync/atomic"

// budget bounds retries to a fifth of the requests, plus a few, so that a service in trouble is not
// sent several times the load that troubles it.
type budget struct {
	debt atomic.Int64 // in fifths of a retry that requests have not paid for yet; below zero: saved
}

const (
	retryCost = 5              // requests that pay for one retry
	mostDebt  = 10 * retryCost // retries at once that need no requests before
	mostSaved = 90 * retryCost // more of them that many good requests allow at once, at most
)

// earn is called once for every request. Those that find it full at once may save a few too many.
func (b *budget) earn() {
	if b.debt.Load() > -mostSaved {
		b.debt.Add(-1)
	}
}

// spend pays for one retry; false where there is nothing left.
func (b *budget) spend() bool {
	for {
		d := b.debt.Load()
		if d+retryCost > mostDebt {
			return false
		}
		if b.debt.CompareAndSwap(d, d+retryCost) {
			return true
		}
	}
}

// refund gives back what was spent on a retry that found no route.
func (b *budget) refund() { b.debt.Add(-retryCost) }
