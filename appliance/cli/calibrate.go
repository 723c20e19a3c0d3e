package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// calibrationPollEvery is how often it is asked how far a measurement is.
const calibrationPollEvery = 250 * time.Millisecond

func (a *app) calibrateCommand() *cobra.Command {
	var takes time.Duration
	var most int
	var in api.Calibrate
	var last, detach bool
	cmd := &cobra.Command{
		Use: "calibrate SERVICE", Short: "Measure a service on its device: memory, speed, and how many requests at once it takes well",
		Long: "Measure one route of a service on its device: load time, true memory, how fast prompts are read and answers made,\n" +
			"and the knee: the number of requests at once above which more of them only wait. It takes a minute at most, and\n" +
			"only while nobody else asks the service; its own requests count for nobody. What comes of it is kept.",
		Example: "  palisade calibrate qwen\n  palisade calibrate qwen --last\n" +
			"  palisade service autoscale qwen --max 4 --target concurrency=auto    # as many at once as was measured",
		Args: words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if last {
				st, err := c.Calibration(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showLastCalibration(args[0], st)
			}
			in.Seconds = ifGiven(cmd.Flags().Changed("for"), takes.Seconds())
			in.MaxConcurrency = ifGiven(cmd.Flags().Changed("max-concurrency"), most)
			st, err := c.CalibrateService(cmd.Context(), args[0], in)
			if err != nil {
				return inFlags(err, map[string]string{"seconds": "--for", "max_concurrency": "--max-concurrency"})
			}
			if detach {
				a.notef("begun; see: palisade calibrate %s --last", args[0])
				return nil
			}
			if st, err = a.waitForCalibration(cmd.Context(), c, args[0], st); err != nil {
				return err
			}
			return a.showLastCalibration(args[0], st)
		},
	}
	f := cmd.Flags()
	f.Var(newDuration(&takes, time.Minute), "for", "how long it may take, 5s to 30m")
	f.IntVar(&most, "max-concurrency", 256, "requests at once that are tried at most")
	f.BoolVar(&in.Force, "force", false, "measure though users ask it: they are slowed, and it is less exact")
	f.BoolVar(&last, "last", false, "measure nothing; print what was measured last")
	f.BoolVar(&detach, "detach", false, "do not wait for it")
	cmd.MarkFlagsMutuallyExclusive("last", "detach")
	return cmd
}

// waitForCalibration shows how far one is until it has ended. Whoever interrupts it ends it.
func (a *app) waitForCalibration(ctx context.Context, c *api.Client, ref string, st api.CalibrationStanding) (api.CalibrationStanding, error) {
	if st.Running == nil { // it was that quick
		return st, nil
	}
	id := st.Running.ID
	show := a.newProgress()
	defer show.clear()
	tick := time.NewTicker(calibrationPollEvery)
	defer tick.Stop()
	for {
		if r := st.Running; r != nil && r.ID == id {
			show.status(a.now(), fmt.Sprintf("measuring %s: %s, %s of at most %s", ref, r.Doing, inSeconds(round(r.Elapsed)), inSeconds(r.Budget)))
		} else {
			return st, calibrated(id, st)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := c.CancelCalibration(last, ref); err != nil {
				return st, &hinted{context.Cause(ctx), "it goes on; see: palisade calibrate " + ref + " --last"}
			}
			return st, context.Cause(ctx)
		case <-tick.C:
		}
		now, err := c.Calibration(ctx, ref)
		if ctx.Err() != nil {
			continue
		}
		if err != nil {
			return st, err
		}
		st = now
	}
}

func round(seconds float64) float64 { return float64(int(seconds + 0.5)) }

// calibrated says what became of a measurement that goes on no more.
func calibrated(id string, st api.CalibrationStanding) error {
	switch {
	case st.Failed != nil && st.Failed.ID == id:
		err := fmt.Errorf("it was not measured: %s", st.Failed.Message)
		if st.Failed.Hint == "" {
			return err
		}
		return &hinted{err, st.Failed.Hint}
	case st.Last != nil && st.Last.ID == id:
		return nil
	}
	return &hinted{fmt.Errorf("the measurement broke off"), "the appliance was started anew, or the service has another revision by now: try again"}
}

func (a *app) showLastCalibration(ref string, st api.CalibrationStanding) error {
	if a.output == "json" {
		return a.show(result{json: st})
	}
	if r := st.Running; r != nil {
		a.notef("one goes on: %s, %s of at most %s", r.Doing, inSeconds(round(r.Elapsed)), inSeconds(r.Budget))
	}
	if f := st.Failed; f != nil && (st.Last == nil || f.At.After(st.Last.At)) {
		a.notef("the last try came to nothing, %s: %s", a.ago(f.At), oneLine(f.Message))
	}
	if st.Last == nil {
		return &hinted{fmt.Errorf("service %s, as it is now, has not been measured", ref), "measure it with: palisade calibrate " + ref}
	}
	return a.show(result{
		quiet: []string{fmt.Sprint(st.Last.Knee)}, json: st,
		text: func() error { a.printCalibration(st.Last); return nil },
	})
}

func (a *app) printCalibration(k *api.Calibration) {
	points := newTable("AT ONCE", "TOKENS/S", "EACH", "FIRST TOKEN", "P95", "TAKES", "")
	for _, p := range k.Points {
		mark := ""
		if p.Concurrency == k.Knee {
			mark = "<- knee"
		}
		points.add(fmt.Sprint(p.Concurrency), rate(p.TokensPerSecond), rate(p.Each), brief(p.FirstToken), brief(p.FirstTokenP95), brief(p.Latency), mark)
	}
	knee := plural(k.Knee, "request") + " at once"
	switch {
	case k.Knee == 0:
		knee = "not known"
	case k.KneeBeyond:
		knee = plural(k.Knee, "request") + " at once, or more"
	}
	load, reads, makes, disturbed := "", "", "", ""
	if k.LoadTime > 0 {
		load = brief(k.LoadTime)
		if k.LoadSpeed > 0 {
			load += fmt.Sprintf(" for %s, %s/s", bytesize.Format(k.Weights), bytesize.Format(int64(k.LoadSpeed)))
		}
	}
	if k.PromptTokensPerSecond > 0 {
		reads = rate(k.PromptTokensPerSecond) + " prompt tokens/s"
	}
	if k.TokensPerSecond > 0 {
		makes = fmt.Sprintf("%s tokens/s for one request, the first after %s", rate(k.TokensPerSecond), brief(k.FirstToken))
	}
	switch {
	case k.Forced && k.Disturbed > 0:
		disturbed = "it was measured beside its users"
	case k.Disturbed > 0:
		disturbed = fmt.Sprintf("users came %s; what they disturbed was measured again", plural(k.Disturbed, "time"))
	}
	a.fields([][2]string{
		{"service", fmt.Sprintf("%s, revision %d", k.Service, k.Revision)}, {"device", orWord(k.Device, "none: it runs on the processors")},
		{"measured", fmt.Sprintf("%s, in %s, by %s", a.ago(k.At), brief(k.Took), orDash(k.By))},
		{"load", load}, {"memory", weighed(k)}, {"reads", reads}, {"makes", makes}, {"knee", knee}, {"", ""}, {"why", k.Why}, {"stopped", k.Stopped}, {"note", disturbed},
	}...)
	if len(k.Points) > 0 {
		fmt.Fprintln(a.out)
		points.write(a.out)
	}
	if k.Knee > 0 && !k.KneeBeyond {
		a.notef("\nto have as many routes as that takes: palisade service autoscale %s --max 4 --target concurrency=auto", k.Service)
	}
}

func orWord(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// weighed says what it holds, of its devices and of the box.
func weighed(k *api.Calibration) string {
	words := ""
	if k.DeviceMemory > 0 {
		words = bytesize.Format(k.DeviceMemory)
		if k.Claimed > 0 {
			words += " of " + bytesize.Format(k.Claimed) + " that are set aside"
		}
		words += " of its devices, "
	}
	if k.Memory == 0 {
		return words
	}
	return words + bytesize.Format(k.Memory) + " of the box"
}

// brief prints a number of seconds in three digits; "-" where it is not known.
func brief(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return short(time.Duration(seconds * float64(time.Second)))
}
