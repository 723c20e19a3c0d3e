package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ModelVerify says what is verified.
type ModelVerify struct {
	Model  string `json:"model,omitempty"`  // name or id; default: all of the project
	Repair bool   `json:"repair,omitempty"` // fetch again what is damaged
}

// VerifyProgress is one line of a verification's answer. The last one has done, or problem.
type VerifyProgress struct {
	Models   int           `json:"models"`
	Files    int           `json:"files"`
	Verified int           `json:"verified"` // files
	Bytes    int64         `json:"bytes"`    // of all files, what several have counted once
	Read     int64         `json:"read"`     // of these
	Message  string        `json:"message"`  // qwen3-8b, revision 1: model.safetensors
	Damaged  []ModelDamage `json:"damaged"`  // so far
	Done     bool          `json:"done"`
	Problem  *Problem      `json:"problem,omitempty"`
}

// ModelDamage is a file of a model that is not what was installed.
type ModelDamage struct {
	Model    string `json:"model"`
	Revision int    `json:"revision"`
	File     string `json:"file"` // empty: all of them
	Problem  string `json:"problem"`
	Repaired bool   `json:"repaired"`
	Failed   string `json:"failed,omitempty"` // why it was not repaired
}

// ModelsSwept is what was deleted.
type ModelsSwept struct {
	Freed int64 `json:"freed"` // bytes
}

// VerifyModels has the box compare the checksums of models' files. each, which may be nil, is told how far it is. Ending ctx ends it.
func (c *Client) VerifyModels(ctx context.Context, in ModelVerify, each func(VerifyProgress)) (VerifyProgress, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/models/verify", in: in})
	if err != nil {
		return VerifyProgress{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var p VerifyProgress
		switch err := lines.Decode(&p); {
		case ctx.Err() != nil:
			return VerifyProgress{}, context.Cause(ctx)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return VerifyProgress{}, errors.New("verifying models: the daemon broke off before the end")
		case err != nil:
			return VerifyProgress{}, fmt.Errorf("verifying models: %w", err)
		case p.Problem != nil:
			return VerifyProgress{}, p.Problem
		case p.Done:
			return p, nil
		case each != nil:
			each(p)
		}
	}
}

// SweepModels deletes bytes that no model needs.
func (c *Client) SweepModels(ctx context.Context) (ModelsSwept, error) {
	var out ModelsSwept
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/models/gc"}, &out)
}
