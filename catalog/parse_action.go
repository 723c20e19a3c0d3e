package catalog

import (
	"regexp"
	"strconv"

	"github.com/palisade-run/palisade/catalog/spelling"
)

var (
	actionNames   = []string{"run_command", "write_file", "write_tempfile", "mkdir", "log"}
	templateNames = []string{"ports", "model_path", "model_name"}
	refName       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// readArgs reads the arguments that an action of this name takes; other keys pass unread.
func readArgs(action string, f Field, misplaced map[string]bool) ActionArgs {
	if !f.Given() {
		// An action without args misses its required ones: report those, at the action.
		f = Field{doc: f.doc, path: f.path, at: f.at, node: &node{kind: dict, at: f.at}}
	}
	fields, ok := f.Map()
	if !ok {
		return ActionArgs{}
	}
	var a ActionArgs
	switch action {
	case "run_command":
		a.Command = readActionCommand(fields.Get("command"), misplaced)
		a.Echo, _ = fields.Get("echo").Bool()
		a.IgnoreError, _ = fields.Get("ignore_error").Bool()
	case "write_file":
		a.Filename = readRequiredText(fields.Get("filename"), misplaced, "/tmp/config.json")
		a.Body = readBody(fields.Get("body"), misplaced)
		a.Mode = readMode(fields.Get("mode"), "644")
		a.Append, _ = fields.Get("append").Bool()
	case "write_tempfile":
		a.Body = readBody(fields.Get("body"), misplaced)
		a.Mode = readMode(fields.Get("mode"), "644")
	case "mkdir":
		a.Path = readRequiredText(fields.Get("path"), misplaced, "/tmp/cache")
	case "log":
		a.Message = readRequiredText(fields.Get("message"), misplaced, "starting")
		a.Debug, _ = fields.Get("debug").Bool()
	}
	return a
}

func readActionCommand(f Field, misplaced map[string]bool) []string {
	if !required(f, misplaced, `["pip", "install", "-r", "requirements.txt"]`) {
		return nil
	}
	if f.node.kind != list {
		f.wrongType("a list of strings", `run_command uses no shell; for a line of shell write ["/bin/sh", "-c", "..."]`)
		return nil
	}
	argv, ok := f.Texts()
	if ok && (len(argv) == 0 || argv[0] == "") {
		f.Error("", "names no program")
	}
	return argv
}

func readRequiredText(f Field, misplaced map[string]bool, example string) string {
	if !required(f, misplaced, example) {
		return ""
	}
	text, ok := f.Text()
	if ok && text == "" {
		f.Error("", "is empty")
	}
	return text
}

func readBody(f Field, misplaced map[string]bool) []string {
	if !required(f, misplaced, `["first line", "second line"]`) {
		return nil
	}
	if f.node.kind != list {
		f.wrongType("a list of lines", `body: ["first line", "second line"]`)
		return nil
	}
	lines, _ := f.Texts()
	return lines
}

// readMode reads a file mode. Written without quotes it is a number to YAML, and yet means its digits.
func readMode(f Field, otherwise string) string {
	text, ok := f.Scalar()
	if !ok {
		return otherwise
	}
	digits := text
	if len(digits) > 2 && digits[:2] == "0o" {
		digits = digits[2:]
	}
	if mode, err := strconv.ParseUint(digits, 8, 32); err != nil || mode > 0o7777 {
		f.Error(`for example "644" or "755"`, "%q is not a file mode", spelling.Short(text))
		return otherwise
	}
	return digits
}
