package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use: "service", Aliases: []string{"services", "svc"}, Short: "Serve models: create, watch, scale, update and remove services",
	})
	cmd.AddCommand(
		a.serviceCreate(), a.serviceList(), a.serviceInfo(), a.serviceWait(), a.serviceScale(), a.serviceEndpoint(),
		a.serviceGenerateToken(), a.serviceTokens(), a.serviceRevokeToken(),
		a.serviceUpdate(), a.serviceRemove(), a.serviceLogs(), a.serviceEvents(), a.serviceClearErrors(),
		a.serviceRoutes(), a.serviceTraffic(), a.serviceRevisions(), a.serviceRollback(), a.serviceAutoscale(), a.serviceRule(), a.serviceTop(), a.serviceCaptures(), a.serviceRecord(),
	)
	return cmd
}

func (a *app) serviceCreate() *cobra.Command {
	var r recipeFlags
	var w waitFlags
	var scaling scalingFlags
	var name string
	cmd := &cobra.Command{
		Use: "create IMAGE [MODEL_FOLDER] [COUNT]", Short: "Create a service",
		Long: "Create a service of COUNT routes (default 1) that serve MODEL_FOLDER in sessions of IMAGE.\n" +
			"IMAGE is an image's reference on the containerd runtime, and host on the process runtime: plain\n" +
			"processes of this box, with the engines that the daemon's PATH has.\n" +
			"MODEL_FOLDER is left out for a runtime variant that needs none.",
		Example: "  palisade service create host my-model 2 --wait\n" +
			"  palisade service create host qwen --runtime-variant llama-cpp --name qwen -r mem=8g --wait\n" +
			"  palisade service create host qwen --runtime-variant vllm -e VLLM_EXTRA_ARGS='--max-model-len 8192'\n" +
			"  palisade service create host my-model --autoscale 0..4 --target concurrency=8 --idle-after 10m",
		Args:              words("IMAGE MODEL_FOLDER COUNT", 1, 3),
		ValidArgsFunction: a.completeAt(1, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := r.create(a, cmd, args)
			if err != nil {
				return err
			}
			in.Name = name
			c, err := a.client()
			if err != nil {
				return err
			}
			if in.Autoscaling, err = scaling.create(cmd.Context(), cmd, c); err != nil {
				return err
			}
			s, err := c.CreateService(cmd.Context(), in)
			if err != nil {
				if in.Autoscaling != nil {
					err = inScalingFlags(err, true)
				}
				return inFlags(err, flagsOfRouting())
			}
			a.warn(s.Warnings)
			if s.Autoscaling != nil {
				a.noteScaling(s.Autoscaling)
			}
			if w.wait {
				if s, err = a.waitForService(cmd.Context(), c, s, w.timeout); err != nil {
					return err
				}
			} else if a.output != "json" {
				a.notef("recorded; it starts now. See: palisade service info %s", s.Name)
			}
			return a.showService(s)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the service (default: svc- and 6 characters)")
	cmd.Flags().StringVar(&scaling.bounds, "autoscale", "", "MIN..MAX routes, as --target and --idle-after say: 0..4; see: palisade service autoscale --help")
	scaling.add(a, cmd)
	r.add(a, cmd, true)
	w.add(cmd)
	return cmd
}

// showService prints what a change made: the name with -q.
func (a *app) showService(s api.Service) error {
	return a.show(result{quiet: []string{s.Name}, json: s, text: func() error { a.printService(s); return nil }})
}

func (a *app) serviceList() *cobra.Command {
	var f api.ServiceFilter
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List services", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			services, err := c.Services(cmd.Context(), f)
			if err != nil {
				return err
			}
			t := newTable("NAME", "STATUS", "ROUTES", "AUTO", "FOLDER", "VARIANT", "CREATED", "REASON")
			r := result{json: notNull(services), table: t}
			for _, s := range services {
				r.quiet = append(r.quiet, s.Name)
				t.add(s.Name, s.Status, fmt.Sprintf("%d/%d", s.HealthyRoutes, s.Replicas), autoWord(s), orDash(s.Recipe.FolderName),
					s.Recipe.RuntimeVariant, a.ago(s.CreatedAt), briefly(s.Reason))
			}
			if len(services) == 0 && a.output != "json" {
				a.notef("no services; create one with: palisade service create IMAGE MODEL_FOLDER")
				return nil
			}
			return a.show(r)
		},
	}
	cmd.Flags().StringVar(&f.Status, "status", "", "only those in this status")
	_ = cmd.RegisterFlagCompletionFunc("status", fixedWords("PROVISIONING", "HEALTHY", "DEGRADED", "UNHEALTHY", "IDLE", "DESTROYING"))
	return cmd
}

func (a *app) serviceInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info SERVICE", Aliases: []string{"show", "describe"}, Short: "Show a service, its routes, and why it is as it is", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{s.Status}, json: s, text: func() error { a.printService(s); return nil }})
		},
	}
}

func (a *app) printService(s api.Service) {
	r := s.Recipe
	failures, lastError, log := a.failureWords(s)
	access := "token"
	if s.OpenToPublic {
		access = "open to public"
	}
	fields := [][2]string{
		{"name", s.Name}, {"id", s.ID}, {"project", s.Project},
		{"status", s.Status}, {"reason", reasonWithout(s)}, {"failures", failures}, {"last error", lastError},
		{"routes", fmt.Sprintf("%d of %d healthy", s.HealthyRoutes, s.Replicas)},
		{"autoscaling", a.scalingLine(s)}, {"endpoint", s.Endpoint}, {"access", access},
	}
	fields = append(fields, routingFields(s.Routing)...)
	fields = append(fields, [][2]string{
		{"image", r.Image}, {"folder", r.FolderName}, {"variant", r.RuntimeVariant},
		{"definition", r.ModelDefinitionPath}, {"resources", mapWords(r.Resources)}, {"containers", rankWords(r)},
		{"selector", mapWords(r.Selector)}, {"priority", strconv.Itoa(s.Priority)}, {"options", mapWords(r.ResourceOpts)}, {"environment", mapWords(r.Environ)},
		{"revision", strconv.Itoa(s.Revision)},
		{"created", a.ago(s.CreatedAt) + " by " + s.CreatedBy},
	}...)
	a.fields(fields...)
	if log != "" && s.Status != "HEALTHY" { // what is over needs no explaining
		fmt.Fprintf(a.out, "\nThe end of the log of the last that failed:\n    %s\n", indented(printable(log)))
	}
	if len(s.Routes) > 0 {
		fmt.Fprintln(a.out)
		a.routeTable(s.Routes).write(a.out)
		a.printRanks(s.Routes)
	}
}

// reasonWithout is a service's reason without the last error, which has a line of its own.
func reasonWithout(s api.Service) string {
	if s.LastError == "" {
		return s.Reason
	}
	return briefly(strings.Replace(s.Reason, ", the last: "+s.LastError, "", 1))
}

// failureWords are what there is to say of a service's starts that failed: how many, what happened the last time, and
// the end of that engine's log.
func (a *app) failureWords(s api.Service) (failures, lastError, log string) {
	if s.Failures > 0 {
		failures = plural(s.Failures, "start") + " in a row"
		if s.NextRetry != nil && s.NextRetry.After(a.now()) {
			failures += ", next try " + a.ago(*s.NextRetry)
		}
	}
	lastError, log, _ = strings.Cut(withoutPath(s.LastError), "\n")
	return failures, strings.TrimSuffix(lastError, " The last of its log:"), log
}

func (a *app) serviceScale() *cobra.Command {
	var w waitFlags
	var reason string
	cmd := &cobra.Command{
		Use: "scale SERVICE COUNT", Short: "Set how many routes a service has; 0 keeps the address alone", Args: words("SERVICE COUNT", 2, 2),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := count(args[1])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.ScaleService(cmd.Context(), args[0], to, reason)
			if err != nil {
				return err
			}
			a.notePause(s)
			if w.wait {
				if s, err = a.waitForService(cmd.Context(), c, s, w.timeout); err != nil {
					return err
				}
			}
			return a.showService(s)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the service's events")
	w.add(cmd)
	return cmd
}

// count reads a number of routes.
func count(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < 0 {
		return 0, &usageError{message: fmt.Sprintf("COUNT %q: must be a whole number, 0 or more", word)}
	}
	return n, nil
}

func (a *app) serviceEndpoint() *cobra.Command {
	return &cobra.Command{
		Use: "get-endpoint SERVICE", Short: "Print the URL of a service", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showValue(s.Endpoint, map[string]string{"endpoint": s.Endpoint})
		},
	}
}

// showValue prints one value, alone on its line with or without -q.
func (a *app) showValue(value string, asJSON any) error {
	return a.show(result{quiet: []string{value}, json: asJSON, text: func() error {
		_, err := fmt.Fprintln(a.out, value)
		return err
	}})
}

func (a *app) serviceRemove() *cobra.Command {
	w := waitFlags{}
	cmd := &cobra.Command{
		Use: "rm SERVICE...", Aliases: []string{"remove", "delete"}, Short: "Remove services: drain and end their routes", Args: words("SERVICE", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error {
				if !w.wait {
					return c.DestroyService(cmd.Context(), ref)
				}
				return a.destroyAndWait(cmd.Context(), c, ref, w.timeout)
			})
		},
	}
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until they are gone: requests answered, engines ended")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "with --wait: how long for each")
	return cmd
}

// eachOf does something to each of several things, goes on after a failure, and prints each that went well.
func (a *app) eachOf(refs []string, do func(ref string) error) error {
	done, failed := []string{}, false
	for _, ref := range refs {
		if err := do(ref); err != nil {
			a.report(err)
			failed = true
			continue
		}
		done = append(done, ref)
	}
	err := a.show(result{quiet: done, json: done, text: func() error {
		for _, ref := range done {
			fmt.Fprintln(a.out, ref)
		}
		return nil
	}})
	if failed {
		return errQuietFailure
	}
	return err
}

func (a *app) serviceLogs() *cobra.Command {
	var o api.LogOptions
	cmd := &cobra.Command{
		Use: "logs SERVICE", Short: "Print what a service's routes write", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			body, err := c.ServiceLogs(cmd.Context(), args[0], o)
			return a.copyLog(cmd.Context(), body, err)
		},
	}
	addLogFlags(cmd, &o)
	cmd.Flags().StringVar(&o.Route, "route", "", "only this route (a session's id)")
	return cmd
}

func addLogFlags(cmd *cobra.Command, o *api.LogOptions) {
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on until it ends, or Ctrl-C")
	cmd.Flags().IntVarP(&o.Tail, "tail", "n", 0, "last lines only")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.Tail < 0 {
			return &usageError{message: fmt.Sprintf("--tail %d: must be 0 or more; 0 is all", o.Tail)}
		}
		return nil
	}
}

func (a *app) serviceClearErrors() *cobra.Command {
	return &cobra.Command{
		Use: "clear-errors SERVICE", Short: "Forget failed starts and try again at once", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.ClearErrors(cmd.Context(), args[0]); err != nil {
				return err
			}
			s, err := c.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showService(s)
		},
	}
}

func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// waitFlags are those of commands that can wait for their effect.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (w *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until all routes are healthy, or it is known that they will not be")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 35*time.Minute, "with --wait: how long")
}
