package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) modelVerify() *cobra.Command {
	var repair bool
	cmd := &cobra.Command{
		Use: "verify [MODEL]", Short: "Compare the checksums of all files of models, or of one", Args: words("MODEL", 0, 1),
		Long: "Compare the checksums of all files of models, or of one, with what was installed. --repair fetches again what is damaged,\n" +
			"as it was installed; services that run have the damaged file until they are started again.\n" +
			"Exit code 0: all is as it was installed, or is again; 1: something is not.",
		Example: "  palisade model verify\n  palisade model verify qwen3-8b --repair",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.ModelVerify{Repair: repair}
			if len(args) > 0 {
				in.Model = args[0]
			}
			return a.verifyModels(cmd.Context(), in)
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "fetch again what is damaged")
	return cmd
}

// verifyCommand is model verify under a shorter name.
func (a *app) verifyCommand() *cobra.Command { return a.modelVerify() }

func (a *app) verifyModels(ctx context.Context, in api.ModelVerify) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	b := a.newMeter()
	end, err := c.VerifyModels(ctx, in, func(p api.VerifyProgress) { b.set(p.Message, p.Read, p.Bytes) })
	b.clear()
	if err != nil {
		return err
	}
	left := 0
	t := newTable("MODEL", "REVISION", "FILE", "PROBLEM", "STATE")
	r := result{json: end}
	for _, d := range end.Damaged {
		state := "damaged"
		switch {
		case d.Repaired:
			state = "repaired"
		case d.Failed != "":
			state = "not repaired: " + d.Failed
		}
		if !d.Repaired {
			left++
		}
		t.add(d.Model, strconv.Itoa(d.Revision), orDash(d.File), d.Problem, state)
		r.quiet = append(r.quiet, d.Model+" "+d.File)
	}
	r.text = func() error {
		if len(t.rows) > 0 {
			t.write(a.out)
		}
		_, err := fmt.Fprintln(a.out, verifySentence(end, left))
		return err
	}
	if err := a.show(r); err != nil {
		return err
	}
	if left == 0 {
		return nil
	}
	if !in.Repair {
		a.notef("palisade model verify --repair fetches again what is damaged")
	}
	return errQuietFailure
}

func verifySentence(p api.VerifyProgress, left int) string {
	what := fmt.Sprintf("%s, %s, %s: ", plural(p.Models, "model"), plural(p.Files, "file"), bytesize.Format(p.Bytes))
	switch repaired := len(p.Damaged) - left; {
	case p.Files == 0:
		return "there are no models to verify"
	case left > 0:
		return what + fmt.Sprintf("%d are damaged", left)
	case repaired > 0:
		return what + fmt.Sprintf("%d were damaged and are repaired; services read them when they are started again", repaired)
	}
	return what + "all as they were installed"
}

func (a *app) modelSweep() *cobra.Command {
	return &cobra.Command{
		Use: "gc", Short: "Delete downloaded bytes that no model needs", Args: words("", 0, 0),
		Long: "Delete downloaded bytes that no model needs: of models that are removed, and of installs that were given up.\n" +
			"What an install still needs that failed or runs stays.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			out, err := c.SweepModels(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(result{json: out, quiet: []string{strconv.FormatInt(out.Freed, 10)}, text: func() error {
				if out.Freed == 0 {
					_, err := fmt.Fprintln(a.out, "there was nothing to delete")
					return err
				}
				_, err := fmt.Fprintf(a.out, "%s freed\n", bytesize.Format(out.Freed))
				return err
			}})
		},
	}
}
