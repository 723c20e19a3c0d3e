package goods

// SetRate changes how many bytes a second may come; 0: as many as there are. Those who test cut off what takes a while.
func (g *Goods) SetRate(bytesPerSecond int64) { g.fetcher.SetRate(bytesPerSecond) }
