package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/variants"
)

func (a *app) modelCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "model", Aliases: []string{"models"}, Short: "Installed models, and a look at models before they are served"})
	cmd.AddCommand(a.modelList(), a.modelShow(), a.modelUpdate(), a.modelRollback(), a.modelPin(true), a.modelPin(false), a.modelRemove(), a.modelInstalls(), a.modelCancel(), a.modelCheck(), a.modelEstimate(), a.modelVerify(), a.modelSweep())
	return cmd
}

func (a *app) modelCheck() *cobra.Command {
	var q variants.CheckRequest
	var env []string
	var own string
	cmd := &cobra.Command{
		Use: "check FILE_OR_FOLDER", Short: "Say what a model folder would run, and all that is wrong with it",
		Long: "Say what a model folder would run, and all that is wrong with it, each with file, line and column.\n" +
			"Nothing is run and no daemon is needed. Exit code 0: good, 1: it would not start, 2: a mistake in the command.",
		Args: words("FILE_OR_FOLDER", 1, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(_ *cobra.Command, args []string) error {
			q.Path = args[0]
			var err error
			if q.Env, err = pairs("-e", env, a.LookupEnv); err != nil {
				return err
			}
			table, problems := variants.Load(own)
			if err := problems.Err(); err != nil {
				return &usageError{message: "the file of runtime variants is wrong:\n" + err.Error()}
			}
			if err := a.checkable(q, table); err != nil {
				return err
			}
			return a.showReport(table.Check(q))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.Strict, "strict", false, "warnings are errors")
	f.StringVar(&q.Variant, "runtime-variant", variants.Custom, "kind of engine; see: palisade runtimes")
	f.StringArrayVarP(&env, "env", "e", nil, "environment NAME=VALUE; NAME alone passes this shell's on (repeatable)")
	f.StringVar(&q.DefinitionPath, "model-definition-path", "", "definition file, from the folder's root")
	f.StringVar(&q.Mount, "model-mount-destination", "", "where the model folder is seen (default /models)")
	f.StringVar(&q.ServiceName, "name", "", "name of the service that it would be")
	f.StringVar(&own, "variants", "", "file with runtime variants of your own")
	_ = cmd.RegisterFlagCompletionFunc("runtime-variant", a.completeAt(-1, a.variantNames))
	return cmd
}

// checkable refuses what is a mistake in the command and not in the model.
func (a *app) checkable(q variants.CheckRequest, table *variants.Table) error {
	if _, ok := table.Lookup(q.Variant); !ok {
		hint := didYouMean(q.Variant, table.Names())
		if hint == "" {
			hint = "see: palisade runtimes"
		}
		return &usageError{message: fmt.Sprintf("--runtime-variant %s: there is no such variant", q.Variant), hint: hint}
	}
	if _, err := os.Stat(q.Path); errors.Is(err, fs.ErrNotExist) {
		return &usageError{
			message: fmt.Sprintf("%s: there is no such file or folder", q.Path),
			hint:    "give a path on this machine; the appliance's folders are listed by: palisade folder list",
		}
	}
	return nil
}

func (a *app) showReport(r variants.Report) error {
	verdict := "good"
	if !r.OK {
		verdict = "bad"
	}
	err := a.show(result{quiet: []string{verdict}, json: r, text: func() error { return r.WriteText(a.out) }})
	if err != nil || r.OK {
		return err
	}
	// The report has said it all.
	return errQuietFailure
}
