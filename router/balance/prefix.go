package balance

// Bounds of Settings.PrefixBlock.
const (
	leastBlock = 16
	mostBlock  = 4096
)

type memory struct{}

type look struct{}

func (p *pick) prefixed() *member { return p.leastInFlight() }
