package sessions

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// SecretPrefix begins a value of an environment that stands for a secret of that name: secret:HF_TOKEN. What is kept and shown of
// a service is the name; the secret itself is put in when an instance starts.
const SecretPrefix = "secret:"

// reveal puts secrets into what is to be started. A secret that is missing keeps it from starting.
func (r *runner) reveal(ctx context.Context, spec *Spec) error {
	env := spec.Env
	for name, value := range env {
		of, is := strings.CutPrefix(value, SecretPrefix)
		if !is || r.secret == nil {
			continue
		}
		secret, err := r.secret(ctx, of)
		if err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
		spec.Env = maps.Clone(spec.Env)
		spec.Env[name] = secret
	}
	return nil
}
