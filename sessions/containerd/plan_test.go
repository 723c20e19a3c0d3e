package containerd

import (
	"slices"
	"testing"
)

func TestProgramsOfImages(t *testing.T) {
	words := func(w ...string) []string { return w }
	tests := []struct {
		name          string
		image         imageFacts
		argv, program []string
	}{
		{"its own", imageFacts{command: words("/serve", "-x")}, nil, words("/serve", "-x")},
		{"none", imageFacts{}, nil, nil},
		{"apart from PATH", imageFacts{command: words("/app/llama-server")}, words("llama-server", "-m", "x"), words("/app/llama-server", "-m", "x")},
		{"below its directory", imageFacts{command: words("./bin/serve"), workDir: "/app"}, words("serve"), words("/app/bin/serve")},
		{"its directory is not said", imageFacts{command: words("./serve")}, words("serve"), words("/serve")},
		{"another", imageFacts{command: words("/entrypoint.sh", "serve")}, words("serve"), words("serve")},
		{"of that name in PATH", imageFacts{command: words("serve")}, words("serve"), words("serve")},
		{"with a directory of its own", imageFacts{command: words("/app/serve")}, words("/opt/serve"), words("/opt/serve")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.argv)
			if got := tt.image.program(tt.argv); !slices.Equal(got, tt.program) || !slices.Equal(tt.argv, before) {
				t.Errorf("%q, want %q", got, tt.program)
			}
		})
	}
}
