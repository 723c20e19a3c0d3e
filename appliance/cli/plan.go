package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) catalogPlan() *cobra.Command {
	var in api.PlanCreate
	cmd := &cobra.Command{
		Use: "plan NAME", Short: "Say what an install would do: which variant on which devices, memory, disk, time, and what else would fit", Args: words("NAME", 1, 1),
		Long: "Say what an install would do. Nothing is fetched or changed.\n" +
			"Exit code 0: it fits, 1: it does not, 2: a mistake in the command.",
		Example:           "  palisade catalog plan qwen3-8b\n  palisade catalog plan qwen3-8b --context 32768 --concurrency 8 --replicas 2",
		ValidArgsFunction: a.completeAt(0, a.recipeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in.Recipe = args[0]
			p, err := c.MakePlan(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showPlan(p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Variant, "variant", "", "only this variant")
	f.IntVar(&in.Devices, "devices", 0, "accelerators of each replica")
	f.StringSliceVar(&in.On, "on", nil, "ids or kinds of accelerators that it is to run on")
	f.IntVar(&in.Context, "context", 0, "tokens of a sequence")
	f.IntVar(&in.Concurrency, "concurrency", 0, "sequences at once")
	f.IntVar(&in.Replicas, "replicas", 0, "how many of it")
	return cmd
}

// showPlan prints what an install would do. It fails, having said all, where that would be refused.
func (a *app) showPlan(p api.Plan) error {
	err := a.show(result{quiet: []string{p.Verdict}, json: p, text: func() error { a.planText(p); return nil }})
	if err == nil && p.Verdict == api.PlanDoesNotFit {
		return errQuietFailure
	}
	return err
}

func (a *app) planText(p api.Plan) {
	a.fields(
		[2]string{"Model", p.Recipe + " " + p.Version}, [2]string{"Verdict", p.Verdict}, [2]string{"Why", p.Sentence},
		[2]string{"Variant", planVariant(p)}, [2]string{"Image", planImage(p)}, [2]string{"Context", planContext(p)},
		[2]string{"Resources", mapWords(p.Resources)}, [2]string{"Secrets", strings.Join(p.Secrets, ", ")}, [2]string{"Disk", planDisk(p.Disk)},
	)
	if len(p.Parts) > 0 {
		fmt.Fprintln(a.out)
		t := newTable("MEMORY", "BYTES", "")
		for _, part := range p.Parts {
			t.add(part.Name, bytesize.Format(part.Bytes), map[bool]string{true: "measured", false: ""}[part.Measured])
		}
		t.add("together", bytesize.Format(p.Memory), "")
		t.write(a.out)
	}
	a.planPlaces(p)
	if len(p.Steps) > 0 {
		fmt.Fprintln(a.out)
		t := newTable("STEP", "SIZE", "TAKES ABOUT", "FROM")
		for _, s := range p.Steps {
			bytes, takes := "-", "not known"
			if s.Bytes > 0 {
				bytes = bytesize.Format(s.Bytes)
			}
			if s.Seconds != nil {
				takes = span(time.Duration(*s.Seconds * float64(time.Second)))
			}
			t.add(s.Name, bytes, takes, s.From)
		}
		t.write(a.out)
	}
	if len(p.Considered) > 0 {
		fmt.Fprintln(a.out)
		t := newTable("NOT TAKEN", "ON", "BECAUSE IT")
		for _, at := range p.Considered {
			t.add(at.Variant, at.Kind, at.Reason)
		}
		t.write(a.out)
	}
	if len(p.Alternatives) > 0 {
		fmt.Fprintln(a.out, "\nIt would fit")
		for _, alternative := range p.Alternatives {
			text := "  " + alternative.Text
			if alternative.Option != "" {
				text += ": " + alternative.Option
			}
			fmt.Fprintln(a.out, oneLine(text))
		}
	}
	for _, w := range p.Warnings {
		a.notef("warning: %s", oneLine(w))
	}
}

// planPlaces prints where each replica would run, and who makes room.
func (a *app) planPlaces(p api.Plan) {
	t := newTable("REPLICA", "DEVICE", "ID", "NEEDS", "FREE", "OF")
	for i, r := range p.Replicas {
		for _, u := range r.Devices {
			t.add(fmt.Sprint(i+1), u.Name, u.ID, bytesize.Format(u.Bytes), bytesize.Format(u.Free), bytesize.Format(u.Total))
		}
		if len(r.Devices) == 0 {
			t.add(fmt.Sprint(i+1), "the box's memory", "-", bytesize.Format(p.Memory), "-", "-")
		}
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(a.out)
		t.write(a.out)
	}
	for _, m := range p.Moves {
		fmt.Fprintln(a.out, oneLine(fmt.Sprintf("%s makes room on %s (%s)", m.Who, m.Device, bytesize.Format(m.Bytes))))
	}
}

func planVariant(p api.Plan) string {
	if p.Variant == "" {
		return ""
	}
	text := fmt.Sprintf("%s, by %s on %s", p.Variant, p.Runtime, p.Kind)
	if p.Quantization != "" && !strings.EqualFold(p.Quantization, p.Variant) {
		text += " (" + p.Quantization + ")"
	}
	return text
}

func planImage(p api.Plan) string {
	switch {
	case p.Image == "":
		return ""
	case p.Image == "host":
		return "none: a program of the box runs it"
	case p.ImageHere:
		return p.Image + " (here)"
	}
	return p.Image
}

func planContext(p api.Plan) string {
	switch {
	case p.Context == 0:
		return ""
	case p.Concurrency <= 1:
		return fmt.Sprintf("%d tokens", p.Context)
	}
	return fmt.Sprintf("%d tokens of each of %d sequences at once", p.Context, p.Concurrency)
}

func planDisk(d api.PlanDisk) string {
	if d.Bytes == 0 {
		return ""
	}
	text := bytesize.Format(d.Bytes)
	if d.Here > 0 {
		text += fmt.Sprintf(", of which %s are here", bytesize.Format(d.Here))
	}
	if d.Free >= 0 {
		text += fmt.Sprintf("; %s are free", bytesize.Format(d.Free))
	}
	return text
}
