package ui

import (
	"html/template"
	"path"
	"strings"
)

// fileIcons are what files are drawn as, by the ends of their names.
var fileIcons = map[string]string{
	".png": "photo", ".jpg": "photo", ".jpeg": "photo", ".gif": "photo", ".webp": "photo", ".svg": "photo", ".ipynb": "notebook",
	".csv": "file-spreadsheet", ".tsv": "file-spreadsheet", ".parquet": "file-spreadsheet",
	".py": "file-code", ".sh": "file-code", ".go": "file-code", ".js": "file-code", ".yaml": "file-code", ".yml": "file-code", ".json": "file-code", ".toml": "file-code", ".jsonl": "file-code",
	".md": "file-text", ".txt": "file-text", ".log": "file-text", ".gguf": "database", ".safetensors": "database", ".bin": "database", ".pt": "database", ".pth": "database", ".onnx": "database", ".ckpt": "database",
	".zip": "file-zip", ".tar": "file-zip", ".gz": "file-zip", ".zst": "file-zip", ".xz": "file-zip", ".7z": "file-zip",
}

// FileIcon is the name of the icon of a file.
func FileIcon(name string) string {
	if icon, ok := fileIcons[strings.ToLower(path.Ext(name))]; ok {
		return icon
	}
	return "file"
}

// DataURL is a picture within a page: a PNG or JPEG. Anything else is "".
func DataURL(url string) template.URL {
	for _, media := range []string{"data:image/png;base64,", "data:image/jpeg;base64,"} {
		encoded, ok := strings.CutPrefix(url, media)
		if ok && strings.Trim(encoded, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == "" {
			return template.URL(url) //nolint:gosec // looked at to the last character
		}
	}
	return ""
}
