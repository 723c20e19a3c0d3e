package catalog

// readMetadata reads models[].metadata. All of it is optional, and keys that the format does not
// define pass unread.
func readMetadata(f Field) Metadata {
	fields, ok := f.Map()
	if !ok {
		return Metadata{}
	}
	text := func(f Field) string {
		s, _ := f.Text()
		return s
	}
	var m Metadata
	m.Author = text(fields.Get("author"))
	m.Title = text(fields.Get("title"))
	m.Version, _ = fields.Get("version").Scalar()
	m.Created = text(fields.GetAlias("created", "created_at"))
	m.LastModified = text(fields.GetAlias("last_modified", "modified_at"))
	m.Description = text(fields.Get("description"))
	m.Task = text(fields.Get("task"))
	m.Category = text(fields.Get("category"))
	m.Architecture = text(fields.Get("architecture"))
	m.Framework, _ = fields.Get("framework").Texts()
	m.Label, _ = fields.Get("label").Texts()
	m.License = text(fields.Get("license"))
	m.MinResource = readResources(fields.Get("min_resource"))
	return m
}

// readResources reads slot names and amounts. Slot names are written with dots and dashes of their
// own (atom-plus.device), so here, and only here, keys stay as they are.
func readResources(f Field) map[string]string {
	fields, ok := f.Map()
	if !ok {
		return nil
	}
	slots := make(map[string]string)
	for _, e := range fields.Entries() {
		amount, ok := e.Value.Scalar()
		if !ok {
			if e.Value.IsNull() {
				e.Value.Error("", "is null; an amount is wanted")
			}
			continue
		}
		slot := e.Key
		if slot == "memory" {
			slot = "mem"
		}
		if _, taken := slots[slot]; taken {
			e.Value.Error("remove one of them", "is the same as mem, which is given too")
			continue
		}
		slots[slot] = amount
	}
	return slots
}
