package variants

import "github.com/palisade-run/palisade/catalog/fit"

// Request asks what a model needs that an engine loads so: the file or folder at path, "" for the whole folder.
func (s Sizing) Request(path string) fit.Request {
	return fit.Request{
		Engine: fit.Engine(s.Engine), Path: path, Context: s.Context, Sequences: s.Sequences, KeyType: s.KeyType,
		ValueType: s.ValueType, Devices: s.Devices, Stages: s.Stages, BatchTokens: s.BatchTokens, MemoryFraction: s.MemoryFraction,
		Quantization: s.Quantization, Projector: s.Projector, Unified: s.Unified, DeviceLayers: s.DeviceLayers,
	}
}
