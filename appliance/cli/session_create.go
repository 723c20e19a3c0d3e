package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// personalFlags are the flags of session create.
type personalFlags struct {
	kind, command, name, array, startsAt      string
	clusterMode, clusterRun                   string
	clusterSize                               int
	env, resources, options, selector, mounts []string
	depends                                   []string
	ports                                     []int
	priority, retries                         int
	preemptible, wait                         bool
	timeout, minRuntime                       time.Duration
	idleTimeout, maxLifetime                  time.Duration
}

func (a *app) sessionCreate() *cobra.Command {
	var p personalFlags
	cmd := &cobra.Command{
		Use: "create IMAGE", Short: "Create a session of your own: a shell that is kept, or a batch job",
		Long: "Create a session of your own. Without a startup command it is interactive: a shell that is kept until\n" +
			"it is ended. With one it is a batch job, which ends by itself; its log and its result stay.\n" +
			"IMAGE is an image's reference on the containerd runtime, and host on the process runtime.",
		Example: "  palisade session create host --name desk -r cpu=4 -r mem=16g -r cuda.shares=0.5 -v data\n" +
			"  palisade session create host -c 'python train.py' -v data -r cuda.device=2 --timeout 8h --wait\n" +
			"  palisade session create host -c 'python sweep.py $PALISADE_ARRAY_INDEX' --array 1-100%10 --preemptible\n" +
			"  palisade session create host -c 'python report.py' --depends train --starts-at 22:00\n" +
			"  palisade session create host -c 'python ddp.py' --cluster-size 4 --cluster-run all -r cuda.device=1",
		Args: func(cmd *cobra.Command, args []string) error {
			err := words("IMAGE", 1, 1)(cmd, args)
			if usage, ok := errors.AsType[*usageError](err); ok && len(args) > 1 {
				usage.hint = "what it is to run is given with -c: -c " + shellWord(shellLine(args[1:]))
			}
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := p.create(a, cmd, args[0])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			made, err := c.CreateSession(cmd.Context(), in)
			if err != nil {
				return inFlags(err, flagsOfSessions())
			}
			if p.wait {
				return a.waitForSessions(cmd.Context(), c, made, 0)
			}
			return a.showCreated(made)
		},
	}
	p.add(cmd)
	_ = cmd.RegisterFlagCompletionFunc("type", fixedWords("interactive", "batch"))
	_ = cmd.RegisterFlagCompletionFunc("cluster-mode", fixedWords("single-node", "multi-node"))
	_ = cmd.RegisterFlagCompletionFunc("cluster-run", fixedWords("main", "all"))
	_ = cmd.RegisterFlagCompletionFunc("depends", a.completeAt(-1, a.sessionNames))
	_ = cmd.RegisterFlagCompletionFunc("mount", a.completeAt(-1, a.folderNames))
	return cmd
}

func (p *personalFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&p.kind, "type", "t", "", "interactive, or batch (default: batch where there is a startup command)")
	f.StringVarP(&p.command, "startup-command", "c", "", "what it runs, a line for a shell")
	f.StringVar(&p.name, "name", "", "name, of one live session of the project at a time (default: the beginning of its id)")
	f.StringArrayVarP(&p.env, "env", "e", nil, "environment NAME=VALUE; NAME alone passes this shell's on (repeatable)")
	f.StringArrayVarP(&p.resources, "resource", "r", nil, "resources SLOT=AMOUNT: cpu=4, mem=32g, cuda.device=1, cuda.shares=0.5 (repeatable)")
	f.StringArrayVar(&p.options, "resource-opts", nil, "resource options NAME=VALUE: shmem=2g (repeatable)")
	f.StringArrayVar(&p.selector, "selector", nil, "labels that its node must have, NAME=VALUE (repeatable)")
	f.StringArrayVarP(&p.mounts, "mount", "v", nil,
		"folder: NAME (at /home/work/NAME), NAME:PATH, NAME:PATH:ro, NAME/SUB:PATH for a directory in it, or type=bind,source=NAME,target=PATH,permission=ro (repeatable)")
	f.IntSliceVar(&p.ports, "preopen", nil, "ports on which it will answer: 8000,9000")
	f.IntVar(&p.priority, "priority", 10, "place in the queue: 0 to 100, higher first")
	f.BoolVar(&p.preemptible, "preemptible", false, "it may be asked to give way to services of higher priority; it goes on afterwards")
	f.Var(newDuration(&p.idleTimeout, 0), "idle-timeout", "an interactive session is ended when nobody has used it for so long, within what the box has: 2h")
	f.Var(newDuration(&p.maxLifetime, 0), "max-lifetime", "an interactive session is ended when it has run for so long, within what the box has: 12h")
	f.Var(newDuration(&p.minRuntime, 0), "min-runtime", "it is not asked to give way before it has run for so long")
	f.Var(newDuration(&p.timeout, 0), "timeout", "a batch job that runs for longer is ended, and has failed: 90s, 8h")
	f.IntVar(&p.retries, "retries", 0, "how often a batch job is run again after it failed")
	f.StringArrayVar(&p.depends, "depends", nil, "session that must have ended with success before, by id or name, or all of an array by its name (repeatable)")
	f.StringVar(&p.startsAt, "starts-at", "", "not before: 2026-03-01T22:00:00Z, '2026-03-01 22:00', 22:00, or 90m from now")
	f.StringVar(&p.array, "array", "", "one session for each index: 1-100, 1-100%10 (ten at a time), 1,5,9; it is in $PALISADE_ARRAY_INDEX")
	f.IntVar(&p.clusterSize, "cluster-size", 1, "how many containers it has; each gets the resources that are asked for, and all get their places or none")
	f.StringVar(&p.clusterMode, "cluster-mode", "", "single-node: all containers on one box (the default); multi-node: on as few boxes as it can be")
	f.StringVar(&p.clusterRun, "cluster-run", "", "who runs the command: main (the default; the others answer ssh), or all, each with its $RANK")
	f.BoolVar(&p.wait, "wait", false, "wait until it runs; of a batch job, until it has ended, with its exit code")
}

func (p *personalFlags) create(a *app, cmd *cobra.Command, image string) (in api.SessionCreate, err error) {
	in = api.SessionCreate{
		Name: p.name, Type: p.kind, Image: image, StartupCommand: p.command, PreopenPorts: p.ports, Preemptible: p.preemptible,
		Priority: ifGiven(cmd.Flags().Changed("priority"), p.priority), MinRuntime: p.minRuntime.Seconds(), IdleTimeout: p.idleTimeout.Seconds(), MaxLifetime: p.maxLifetime.Seconds(), Timeout: p.timeout.Seconds(),
		Retries: p.retries, DependsOn: p.depends, Array: p.array, ClusterMode: p.clusterMode, ClusterRun: p.clusterRun,
	}
	if cmd.Flags().Changed("cluster-size") {
		if in.ClusterSize = p.clusterSize; in.ClusterSize < 1 {
			return in, &usageError{message: fmt.Sprintf("--cluster-size %d: a number from 1", p.clusterSize)}
		}
	}
	for _, m := range []struct {
		flag   string
		words  []string
		lookup func(string) (string, bool)
		into   *map[string]string
	}{
		{"-e", p.env, a.LookupEnv, &in.Environ}, {"-r", p.resources, nil, &in.Resources},
		{"--resource-opts", p.options, nil, &in.ResourceOpts}, {"--selector", p.selector, nil, &in.Selector},
	} {
		if *m.into, err = pairs(m.flag, m.words, m.lookup); err != nil {
			return in, err
		}
	}
	for _, word := range p.mounts {
		m, err := parseMount(word)
		if err != nil {
			return in, err
		}
		in.Mounts = append(in.Mounts, m)
	}
	if p.startsAt != "" {
		at, err := parseMoment(p.startsAt, a.now())
		if err != nil {
			return in, err
		}
		in.StartsAt = &at
	}
	return in, nil
}

// flagsOfSessions are those of session create.
func flagsOfSessions() map[string]string {
	return map[string]string{
		"type": "--type", "startup_command": "--startup-command", "name": "--name", "resources": "-r", "priority": "--priority",
		"timeout": "--timeout", "min_runtime": "--min-runtime", "idle_timeout": "--idle-timeout", "max_lifetime": "--max-lifetime", "retries": "--retries", "depends_on": "--depends", "starts_at": "--starts-at",
		"array": "--array", "image": "IMAGE", "cluster_size": "--cluster-size", "cluster_mode": "--cluster-mode", "cluster_run": "--cluster-run",
	}
}

// parseMoment reads a moment to come: with its zone, a local one, a time of the day that comes next, or how long from now.
func parseMoment(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	if clock, err := time.Parse("15:04", text); err == nil {
		at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if !at.After(now) {
			at = at.AddDate(0, 0, 1)
		}
		return at, nil
	}
	if d, err := parseDuration(strings.TrimPrefix(text, "+")); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, &usageError{
		message: fmt.Sprintf("--starts-at %q: is no moment to come", text),
		hint:    "write 2026-03-01T22:00:00Z, '2026-03-01 22:00', 22:00, or 90m from now",
	}
}

// showCreated prints what was made: the id with -q, of an array one a line.
func (a *app) showCreated(made []api.Session) error {
	r := result{json: made}
	t := newTable("ID", "NAME", "TYPE", "STATUS", "REASON")
	for _, s := range made {
		r.quiet = append(r.quiet, s.ID)
		t.add(s.ID, s.Name, s.Type, s.Status, briefly(endOrReason(s)))
	}
	r.table = t
	if len(made) == 1 {
		r.json = made[0]
	}
	if err := a.show(r); err != nil {
		return err
	}
	switch {
	case a.output == "json" || len(made) == 0:
	case made[0].Type == "batch":
		a.notef("its end: palisade batch wait %s", arrayName(made[0]))
	default:
		a.notef("a shell in it: palisade session attach %s", made[0].Name)
	}
	return nil
}
