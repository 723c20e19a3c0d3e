package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) installCommand() *cobra.Command {
	var in api.InstallCreate
	var detach, dryRun bool
	cmd := &cobra.Command{
		Use: "install MODEL", Short: "Bring a model to this box, and serve it", Args: words("MODEL", 1, 1),
		Long: "Bring a model to this box, serve it, and wait until it answers.\n\n" +
			"MODEL is a recipe (palisade catalog list), or where files are: hf:ORG/NAME, oci:HOST/NAME:TAG, s3://BUCKET/PREFIX,\n" +
			"git+https://HOST/PATH, https://HOST/FILE, or a /PATH of the appliance's box; ./PATH is one of this directory.\n\n" +
			"The same command again joins an install that is under way, and goes on with one that failed: what has come is kept.",
		Example: "  palisade install qwen3-8b\n  palisade install qwen3-8b --dry-run\n  palisade install llama-3.1-8b --name chat --context 8192 --accept-license\n  palisade install hf:Qwen/Qwen3-0.6B-GGUF --variant q8-0",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Source = placeHere(args[0])
			c, err := a.client()
			if err != nil {
				return err
			}
			if dryRun {
				return a.showInstallPlan(cmd.Context(), c, in)
			}
			made, err := a.beginInstall(cmd.Context(), c, in)
			if err != nil {
				return err
			}
			return a.followInstall(cmd.Context(), c, made, detach)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "name of the model and its service (default: the recipe's)")
	f.StringVar(&in.Variant, "variant", "", "of the recipe (default: the first that fits)")
	f.StringSliceVar(&in.Devices, "devices", nil, "ids or kinds of accelerators that it may run on (default: any)")
	f.IntVar(&in.Context, "context", 0, "tokens of a conversation (default: the variant's)")
	f.IntVar(&in.Concurrency, "concurrency", 0, "conversations at once that there is memory for (default: the variant's)")
	f.IntVar(&in.Replicas, "replicas", 0, "routes of the service (default 1)")
	f.BoolVar(&in.AcceptLicense, "accept-license", false, "the licence was read, and is accepted")
	f.BoolVar(&in.NoService, "no-service", false, "bring the files alone")
	f.BoolVar(&in.NoCalibrate, "no-calibrate", false, "do not measure how fast it is")
	f.BoolVar(&in.Force, "force", false, "try it though it does not fit")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be done, how long it takes, and what else would fit")
	f.BoolVarP(&detach, "detach", "d", false, "do not wait for it")
	return cmd
}

// placeHere makes of files of this directory, as ./PATH or a GGUF file's name, a path that the appliance finds too.
func placeHere(source string) string {
	of, _, _ := strings.Cut(source, "/")
	if of != "." && of != ".." && filepath.Ext(source) != ".gguf" {
		return source
	}
	whole, err := filepath.Abs(source)
	if err != nil {
		return source
	}
	if _, err := os.Stat(whole); err != nil {
		return source
	}
	return whole
}

// beginInstall asks for a model. Where a licence is to be accepted first, a person at a terminal is asked.
func (a *app) beginInstall(ctx context.Context, c *api.Client, in api.InstallCreate) (api.Install, error) {
	made, err := c.CreateInstall(ctx, in)
	if again, err := a.accepts(err); !again {
		return made, err
	}
	in.AcceptLicense = true
	return c.CreateInstall(ctx, in)
}

// accepts asks a person at a terminal for the acceptance of a licence, where that is what is missing: again says that it was given.
func (a *app) accepts(missing error) (again bool, err error) {
	if !errors.Is(missing, api.KindError(api.KindLicense)) || !isTerminal(a.Stdin) || a.quiet {
		return false, missing
	}
	problem, _ := errors.AsType[*api.Problem](missing)
	fmt.Fprintln(a.Stderr, oneLine(problem.Detail))
	if !a.confirm("Do you accept it?") {
		return false, &hinted{errors.New("the licence was not accepted; nothing was fetched"), "--accept-license accepts it"}
	}
	return true, nil
}

// followInstall shows how an install goes until it has ended.
func (a *app) followInstall(ctx context.Context, c *api.Client, in api.Install, detach bool) error {
	if in.Joined {
		a.notef("%s of %s is under way already, begun %s by %s", in.Kind, in.Model, a.ago(in.CreatedAt), in.CreatedBy)
	}
	if detach {
		return a.show(result{quiet: []string{in.ID}, json: in, text: func() error {
			fmt.Fprintf(a.out, "%s of %s is under way: palisade model installs\n", in.Kind, in.Model)
			return nil
		}})
	}
	view := &installView{meter: a.newMeter(), app: a}
	err := c.WatchInstall(ctx, in.ID, func(now api.Install) error {
		in = now
		view.see(now)
		if now.Status != "RUNNING" {
			return api.ErrStopWatch
		}
		return nil
	})
	view.meter.clear()
	if err != nil && ctx.Err() != nil {
		return &hinted{context.Cause(ctx), "the " + in.Kind + " of " + in.Model + " goes on without you; palisade install " + in.Source + " shows it again, palisade model cancel " + in.Model + " ends it"}
	}
	if err != nil {
		return err
	}
	return a.showInstalled(in)
}

// installView tells a person how an install goes: a line for each step that is over, and one that is rewritten for what goes on.
type installView struct {
	meter *meter
	app   *app
	told  map[string]string // of steps, how they stand
}

// stepWords are what people call the steps.
func stepWords() map[string][2]string {
	return map[string][2]string{
		"resolve": {"finding the recipe", "recipe"}, "license": {"looking at the licence", "licence"}, "plan": {"working out where it fits", "plan"},
		"download": {"downloading", "files"}, "folder": {"putting the files in place", "model"}, "image": {"pulling the image", "image"},
		"service": {"making the service", "service"}, "start": {"starting", "start"}, "test": {"asking it something", "test"}, "calibrate": {"measuring", "speed"},
	}
}

func (v *installView) see(in api.Install) {
	if v.told == nil {
		v.told = map[string]string{}
	}
	words := stepWords()
	for _, s := range in.Steps {
		over := s.Status == "FINISHED" || s.Status == "SKIPPED"
		if v.told[s.Step] != s.Status && over {
			v.told[s.Step] = s.Status
			if s.Status == "FINISHED" || s.Step != "license" {
				v.meter.clear()
				note := s.Note
				if s.Status == "SKIPPED" {
					note = "skipped: " + note
				}
				v.meter.show.line(v.meter.now(), fmt.Sprintf("%-8s %s", words[s.Step][1], briefly(note)))
			}
		}
		if s.Step == "plan" && over {
			for _, w := range in.Warnings {
				if v.told[w] == "" {
					v.told[w] = "told"
					v.app.notef("palisade: warning: %s", oneLine(w))
				}
			}
		}
		if s.Status == "WORKING" && in.Step == s.Step {
			v.working(words[s.Step][0], in.Transfer)
		}
	}
}

// working shows what goes on now.
func (v *installView) working(what string, t *api.InstallTransfer) {
	if t == nil {
		if v.meter.show.live { // elsewhere what comes of it is enough
			v.meter.set(what, 0, 0)
		}
		return
	}
	switch {
	case t.Message != "":
		what += ": " + t.Message
	case t.Files > 0 && t.Current != "" && v.meter.show.live:
		what = fmt.Sprintf("%d/%d %s", t.Done, t.Files, clip(t.Current, 32))
	}
	v.meter.set(what, t.Here, t.Bytes)
}

// showInstalled is the end of an install.
func (a *app) showInstalled(in api.Install) error {
	if in.Status != "DONE" {
		if a.output == "json" {
			if err := a.show(result{json: in}); err != nil {
				return err
			}
		}
		what := in.Kind + " of " + in.Model
		if in.Status == "CANCELLED" {
			return fmt.Errorf("%s was %s", what, in.Error)
		}
		step := stepWords()[in.Step][0]
		return &hinted{fmt.Errorf("%s failed while %s: %s", what, step, printable(in.Error)), in.Hint}
	}
	return a.show(result{quiet: []string{in.Model}, json: in, text: func() error {
		if in.Endpoint == "" {
			fmt.Fprintf(a.out, "%s is on the box, revision %d: palisade model show %s\n", in.Model, in.Revision, in.Model)
			return nil
		}
		fmt.Fprintf(a.out, "\n%s answers at %s\n\n", in.ModelName, in.Endpoint)
		if in.Task == "chat" || in.Task == "vision" {
			fmt.Fprintf(a.out, "  palisade chat %s\n", in.Service)
		}
		fmt.Fprintf(a.out, "  TOKEN=$(palisade service generate-token %s --duration 1d -q)\n", in.Service)
		if in.Example != "" {
			fmt.Fprintf(a.out, "  %s\n", oneLine(in.Example))
		}
		return nil
	}})
}

// bytesPerSecond is a speed for people.
func bytesPerSecond(speed float64) string { return bytesize.Format(int64(speed)) + "/s" }

// installWords is how an install stands, in one line.
func installWords(in api.Install) string {
	switch {
	case in.Status != "RUNNING":
		return briefly(strings.TrimSpace(in.Error))
	case in.Transfer != nil && in.Transfer.Bytes > 0:
		words := fmt.Sprintf("%s of %s", bytesize.Format(in.Transfer.Here), bytesize.Format(in.Transfer.Bytes))
		if in.Transfer.Speed > 0 {
			words += ", " + bytesPerSecond(in.Transfer.Speed)
		}
		return words
	case in.Transfer != nil:
		return briefly(in.Transfer.Message)
	}
	return ""
}

// showInstallPlan shows what an install would do.
func (a *app) showInstallPlan(ctx context.Context, c *api.Client, in api.InstallCreate) error {
	p, err := c.MakePlan(ctx, api.PlanCreate{
		Recipe: in.Source, Name: in.Name, Variant: in.Variant, On: in.Devices, Context: in.Context, Concurrency: in.Concurrency, Replicas: in.Replicas,
	})
	if err != nil {
		return err
	}
	return a.showPlan(p)
}
