package catalog

import (
	"slices"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// level is one kind of map in a model definition, with the keys that belong there.
type level struct {
	name  string   // as messages call it
	under string   // path from the level above
	keys  []string // in snake_case
	// open levels take keys of the owner's own.
	open bool
}

// The levels, from the outside in.
var (
	topLevel = level{name: "the top level", keys: []string{"models"}}

	modelLevel = level{name: "models[]", under: "models[]", keys: []string{"name", "model_path", "service", "metadata"}}

	serviceLevel = level{name: "models[].service", under: "service", keys: []string{
		"pre_start_actions", "start_command", "command", "shell", "port", "health_check",
	}}
	healthLevel = level{name: "models[].service.health_check", under: "health_check", keys: []string{
		"enable", "path", "interval", "max_retries", "max_wait_time", "expected_status_code", "initial_delay",
	}}
	actionLevel = level{name: "models[].service.pre_start_actions[]", under: "pre_start_actions[]", keys: []string{
		"action", "args", "ref",
	}}
	argsLevel = level{name: "models[].service.pre_start_actions[].args", under: "args", open: true, keys: []string{
		"command", "echo", "ignore_error", "filename", "body", "mode", "append", "path", "message", "debug",
	}}
	metadataLevel = level{name: "models[].metadata", under: "metadata", open: true, keys: []string{
		"author", "title", "version", "created", "created_at", "last_modified", "modified_at", "description",
		"task", "category", "architecture", "framework", "label", "license", "min_resource",
	}}
)

// elsewhere returns the levels in which a key that was found in at would be known, the likeliest first.
// Arguments of actions are common words (mode, debug, message): they are looked for only inside an
// action, where they can have been meant.
func elsewhere(at string, key string) (level, bool) {
	order := []level{healthLevel, serviceLevel, modelLevel, topLevel, metadataLevel}
	switch at {
	case topLevel.name:
		order = []level{modelLevel, serviceLevel, healthLevel, metadataLevel}
	case modelLevel.name:
		order = []level{serviceLevel, healthLevel, metadataLevel, topLevel}
	case healthLevel.name:
		order = []level{serviceLevel, modelLevel, topLevel, metadataLevel}
	case actionLevel.name:
		order = []level{argsLevel, serviceLevel, healthLevel, modelLevel, topLevel, metadataLevel}
	}
	for _, l := range order {
		if l.name != at && slices.Contains(l.keys, key) {
			return l, true
		}
	}
	return level{}, false
}

// check reports the keys of m that do not belong in level l: an error for one that belongs elsewhere,
// a warning for any other. It returns the keys that it found to be misplaced.
func (l level) check(m Map) (misplaced map[string]bool) {
	misplaced = make(map[string]bool)
	if l.open {
		return misplaced
	}
	for _, e := range m.entries {
		if slices.Contains(l.keys, e.key) {
			continue
		}
		if right, ok := elsewhere(l.name, e.key); ok {
			misplaced[e.key] = true
			m.keyField(e).Error(l.advice(right, e.written), "%s is at the wrong level: it belongs in %s", e.written, right.name)
			continue
		}
		m.keyField(e).Warn(spelling.DidYouMean(e.key, l.keys), "unknown key")
	}
	return misplaced
}

// advice says how to move key to the right level.
func (l level) advice(right level, key string) string {
	switch {
	case l.name == modelLevel.name && right.name == serviceLevel.name:
		return "indent " + key + " below service:, beside start_command"
	case right.name == topLevel.name:
		return "begin the line at the left margin"
	default:
		return "move " + key + " into " + right.under
	}
}
