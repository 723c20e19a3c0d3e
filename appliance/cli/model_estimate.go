package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/bytesize"
	modelfit "github.com/palisade-run/palisade/catalog/fit"
	"github.com/palisade-run/palisade/variants"
)

// estimateOptions is what a person says beyond the folder.
type estimateOptions struct {
	check      variants.CheckRequest
	context    int
	sequences  int
	devices    int
	cacheType  string
	memory     string
	ownerFile  string
	env        []string
	variantSet bool
}

// estimated is what the command answers.
type estimated struct {
	Path    string `json:"path"`
	Variant string `json:"runtime_variant"`
	modelfit.Verdict
}

func (a *app) modelEstimate() *cobra.Command {
	var o estimateOptions
	cmd := &cobra.Command{
		Use: "estimate FILE_OR_FOLDER", Short: "Say how much memory a model needs, whether and where it fits, and what would",
		Long: "Say how much memory a model needs, whether and where it fits, and what would fit. It is read from the model's own files; no weights are loaded.\n" +
			"Held against the devices of the appliance, if one answers; else against this box's memory; or against a device that you have in mind: --memory.\n" +
			"Exit code 0: it fits, 1: it does not, 2: that cannot be told, or a mistake in the command.",
		Args: words("FILE_OR_FOLDER", 1, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.check.Path = args[0]
			o.variantSet = cmd.Flags().Changed("runtime-variant") || cmd.Flags().Changed("variant")
			var err error
			if o.check.Env, err = pairs("-e", o.env, a.LookupEnv); err != nil {
				return err
			}
			return a.estimate(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.context, "context", 0, "tokens of context (default: what the folder's command says, else the engine's own default)")
	f.IntVar(&o.sequences, "sequences", 0, "sequences at once that each have room for the whole context")
	f.IntVar(&o.devices, "devices", 0, "devices that the model is spread over")
	f.StringVar(&o.cacheType, "kv-type", "", "type of the KV cache: f16, fp8, q8_0, ...")
	f.StringVar(&o.memory, "memory", "", "memory of a device that you have in mind, for example 24g, instead of those that there are")
	f.StringVar(&o.check.Variant, "runtime-variant", "", "kind of engine (default: what the folder's files are for)")
	f.StringVar(&o.check.Variant, "variant", "", "short for --runtime-variant")
	_ = f.MarkHidden("variant")
	f.StringArrayVarP(&o.env, "env", "e", nil, "environment NAME=VALUE; NAME alone passes this shell's on (repeatable)")
	f.StringVar(&o.check.DefinitionPath, "model-definition-path", "", "definition file, from the folder's root")
	f.StringVar(&o.check.Mount, "model-mount-destination", "", "where the model folder is seen (default /models)")
	f.StringVar(&o.ownerFile, "variants", "", "file with runtime variants of your own")
	_ = cmd.RegisterFlagCompletionFunc("runtime-variant", a.completeAt(-1, a.variantNames))
	return cmd
}

// estimate reads the model, finds what would run it and the memory that there is, and shows the verdict.
func (a *app) estimate(ctx context.Context, o estimateOptions) error {
	table, problems := variants.Load(o.ownerFile)
	if err := problems.Err(); err != nil {
		return &usageError{message: "the file of runtime variants is wrong:\n" + err.Error()}
	}
	if o.context < 0 || o.sequences < 0 || o.devices < 0 {
		return &usageError{message: "--context, --sequences and --devices count something: they cannot be negative"}
	}
	if o.variantSet {
		if err := a.checkable(o.check, table); err != nil {
			return err
		}
	}
	folder, file, err := splitModel(o.check.Path)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	defer root.Close()
	sizing, variant := a.sizing(table, root, file, o)
	request := o.request(sizing, file)
	if !o.variantSet && request.Engine == "" {
		request.Engine = guessed(root.FS(), request.Path)
	}
	box, err := a.memoryOf(ctx, o, request)
	if err != nil {
		return err
	}
	verdict, err := modelfit.Check(root.FS(), request, box)
	if before, ok := strings.CutSuffix(verdict.Sentence, modelfit.ErrNoModel.Error()+" in ."); ok { // the folder's own root
		verdict.Sentence = before + modelfit.ErrNoModel.Error() + " in " + o.check.Path
	}
	if err != nil {
		if errors.Is(err, modelfit.ErrDamaged) {
			return &hinted{err: err, hint: "no engine loads this: fetch the file again"}
		}
		return err
	}
	return a.showEstimate(estimated{Path: o.check.Path, Variant: cmp.Or(variant, string(request.Engine)), Verdict: verdict})
}

// splitModel is the folder of what a person named, and the file in it, "" for the folder itself.
func splitModel(name string) (folder, file string, err error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", &usageError{
			message: fmt.Sprintf("%s: there is no such file or folder", name),
			hint:    "give a path on this machine; the appliance's folders are listed by: palisade folder list",
		}
	case err != nil:
		return "", "", err
	case info.IsDir():
		return name, "", nil
	}
	return filepath.Dir(name), filepath.Base(name), nil
}

// sizing is what the folder's definition, or the variant's command, says of the engine's memory. Without a definition, and
// where nothing was asked for, nothing is said.
func (a *app) sizing(table *variants.Table, root *os.Root, file string, o estimateOptions) (variants.Sizing, string) {
	variant := o.check.Variant
	if file != "" {
		return variants.Sizing{Engine: variant}, variant
	}
	if variant == "" {
		if _, _, err := catalog.FindDefinition(root, o.check.DefinitionPath); err != nil {
			return variants.Sizing{}, ""
		}
		variant = variants.Custom
		o.check.Variant = variant
	}
	spec, problems := table.Launch(o.check)
	sizing := table.Sizing(spec)
	if problems.Err() != nil {
		a.notef("palisade: warning: it would not start as it is: palisade model check says why")
	}
	if rel, ok := sizing.InFolder(cmp.Or(spec.Mount, variants.DefaultMount)); ok {
		sizing.Model = rel
	} else {
		sizing.Model = ""
	}
	if sizing.Engine == "" && variant != variants.Custom {
		sizing.Engine = variant
	}
	return sizing, variant
}

// request is what to estimate: what a person says wins over what the files say.
func (o estimateOptions) request(s variants.Sizing, file string) modelfit.Request {
	if o.devices > 0 {
		s.Stages = 0
	}
	r := s.Request(cmp.Or(file, s.Model, "."))
	r.Context, r.Sequences, r.Devices = cmp.Or(o.context, r.Context), cmp.Or(o.sequences, r.Sequences), cmp.Or(o.devices, r.Devices)
	r.KeyType, r.ValueType = cmp.Or(o.cacheType, r.KeyType), cmp.Or(o.cacheType, r.ValueType)
	return r
}

// guessed is the engine that files such as these are most often served by.
func guessed(files fs.FS, at string) modelfit.Engine {
	m, err := modelfit.Read(files, path.Clean(at), "")
	switch {
	case err != nil:
		return ""
	case m.Format == modelfit.GGUF:
		return modelfit.LlamaCpp
	case m.Kind == modelfit.Encoder:
		return modelfit.TEI
	}
	return modelfit.VLLM
}

// memoryOf is the memory to hold the model against.
func (a *app) memoryOf(ctx context.Context, o estimateOptions, r modelfit.Request) (modelfit.Box, error) {
	if o.memory != "" {
		bytes, err := parseSize(o.memory)
		if err != nil {
			return modelfit.Box{}, err
		}
		var box modelfit.Box
		for i := range min(max(1, r.Devices), 1024) {
			box.Devices = append(box.Devices, modelfit.Place{ID: fmt.Sprintf("device %d", i+1), Name: "a device of " + bytesize.Format(bytes), Total: bytes, Free: bytes})
		}
		return box, nil
	}
	if box, ok := a.applianceMemory(ctx); ok {
		return box, nil
	}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return modelfit.Box{}, nil // not Linux: nothing is known, and nothing refused
	}
	defer f.Close()
	return modelfit.Box{Host: hostMemory(bufio.NewScanner(f))}, nil
}

// applianceMemory asks the appliance for its devices. That none answers, or that it knows of none and of no memory either, is no
// error: estimates work without.
func (a *app) applianceMemory(ctx context.Context) (modelfit.Box, bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := a.client()
	if err != nil {
		return modelfit.Box{}, false
	}
	devices, err := c.Devices(ctx)
	if err != nil {
		return modelfit.Box{}, false
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return modelfit.Box{}, false
	}
	var box modelfit.Box
	for _, d := range devices {
		if d.Health != api.DeviceOK {
			continue
		}
		p := modelfit.Place{ID: d.Ref, Name: strings.TrimSpace(d.Ref + " " + d.Name), Total: max(0, d.MemoryTotal)}
		held := max(0, d.MemoryUsed)
		promised := int64(0)
		for _, h := range d.Holders {
			promised += max(0, h.Memory)
		}
		p.Free = max(0, p.Total-max(held, promised))
		box.Devices = append(box.Devices, p)
	}
	for _, n := range nodes {
		free := n.Memory.Free
		if n.Memory.Used >= 0 {
			free = min(free, n.Memory.Total-n.Memory.Used)
		}
		if n.Memory.Total > 0 && free > box.Host.Free {
			box.Host = modelfit.Place{ID: n.Name, Name: n.Name, Total: n.Memory.Total, Free: free}
		}
	}
	return box, len(box.Devices) > 0 || box.Host.Total > 0
}

// hostMemory reads /proc/meminfo.
func hostMemory(lines *bufio.Scanner) modelfit.Place {
	p := modelfit.Place{ID: "memory", Name: "this box's memory"}
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			p.Total = kib << 10
		case "MemAvailable:":
			p.Free = kib << 10
		}
	}
	return p
}

// parseSize reads bytes as a person writes them: 24g, 80GiB, 16000m. Units are binary.
func parseSize(text string) (int64, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), "b"), "i")
	shift := 0
	if i := strings.IndexByte("kmgt", lastByte(number)); i >= 0 {
		number, shift = number[:len(number)-1], 10*(i+1)
	}
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || !(v > 0) || v*float64(int64(1)<<shift) > 1<<50:
		return 0, &usageError{message: fmt.Sprintf("--memory %s: is no amount of memory", text), hint: "for example --memory 24g"}
	case shift == 0 && v < 1<<20: // bytes are meant by nobody
		return 0, &usageError{message: fmt.Sprintf("--memory %s: %s bytes are no device's memory", text, number), hint: "with its unit: --memory " + number + "g"}
	}
	return int64(v * float64(int64(1)<<shift)), nil
}

func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

// showEstimate prints a verdict and makes the exit code of it.
func (a *app) showEstimate(e estimated) error {
	err := a.show(result{quiet: []string{string(e.Outcome)}, json: e, text: func() error { a.printEstimate(e); return nil }})
	switch {
	case err != nil:
		return err
	case e.Outcome == modelfit.DoesNotFit:
		return errQuietFailure // the verdict has said it all
	case e.Outcome == modelfit.CannotTell:
		return &usageError{message: e.Sentence}
	}
	return nil
}

func (a *app) printEstimate(e estimated) {
	n, m := e.Need, e.Model
	if m.Path == "" {
		return
	}
	a.fields([2]string{"model", m.String()}, [2]string{"files", fmt.Sprintf("%s in %s", bytesize.Format(m.WeightBytes), plural(len(m.Files), "file"))}, [2]string{"runtime variant", e.Variant})
	fmt.Fprintln(a.out)
	parts := newTable("PART", "MEMORY", "")
	parts.add("weights", bytesize.Format(n.Weights), "")
	if n.Context > 0 {
		types := n.KeyType
		if n.ValueType != n.KeyType {
			types += " and " + n.ValueType
		}
		note := fmt.Sprintf("%d tokens, %s a token in %s", n.Context, bytesize.Format(n.PerToken), types)
		if n.Sequences > 1 {
			note += fmt.Sprintf(", %d sequences", n.Sequences)
		}
		parts.add("KV cache", bytesize.Format(n.Cache), note)
	}
	parts.add("compute", bytesize.Format(n.Compute), "")
	parts.add("engine", bytesize.Format(n.Overhead), "")
	note := ""
	if n.Devices > 1 {
		note = fmt.Sprintf("%s on each of %d devices", bytesize.Format(n.PerDevice), n.Devices)
	}
	parts.add("total", bytesize.Format(n.Total), note)
	parts.write(a.out)
	if len(e.Places) > 0 {
		fmt.Fprintln(a.out)
		places := newTable("WHERE", "FREE", "TOTAL", "VERDICT")
		for _, p := range e.Places {
			verdict := "fits"
			if !p.Fits {
				verdict = cmp.Or(p.Reason, "does not fit")
			}
			if p.Fits && n.Devices > 1 && slices.Contains(e.On, p.ID) {
				verdict = "fits its part"
			}
			places.add(cmp.Or(p.Name, p.ID), bytesize.Format(p.Free), bytesize.Format(p.Total), verdict)
		}
		places.write(a.out)
	}
	fmt.Fprintln(a.out)
	if e.Outcome != modelfit.CannotTell { // that is said as an error
		fmt.Fprintln(a.out, oneLine(e.Sentence))
	}
	if e.Outcome == modelfit.Fits && e.Context > n.Context && n.Context > 0 {
		fmt.Fprintf(a.out, "there is room for a context of up to %d\n", e.Context)
	}
	for _, text := range n.Assumed {
		fmt.Fprintln(a.out, "note: "+oneLine(text))
	}
}
