package cli

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) deviceCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "device", Aliases: []string{"devices"}, Short: "Look at accelerators: how they are and who holds them; take one out of use"})
	cmd.AddCommand(a.deviceList(), a.deviceInfo(), a.deviceFence(), a.deviceUnfence())
	return cmd
}

func (a *app) deviceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List accelerators with who holds them; with -o wide, their ids and places too", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			devices, err := c.Devices(cmd.Context())
			if err != nil {
				return err
			}
			if len(devices) == 0 && a.output != "json" {
				a.notef("no accelerator was found; `palisade doctor` says why")
				return nil
			}
			r := result{json: notNull(devices), table: deviceTable(devices, false), wide: deviceTable(devices, true)}
			for _, d := range devices {
				r.quiet = append(r.quiet, d.ID)
			}
			if line := simulatedLine(devices); line != "" && !a.quiet && a.output != "json" {
				fmt.Fprintln(a.out, line)
			}
			return a.show(r)
		},
	}
}

// simulatedLine says how many of the devices are none; "" where all are real.
func simulatedLine(devices []api.Device) string {
	n := 0
	for _, d := range devices {
		if d.Simulated {
			n++
		}
	}
	switch {
	case n == 0:
		return ""
	case n == len(devices):
		return "SIMULATED: nothing is behind these devices; what runs on them computes nothing."
	}
	return fmt.Sprintf("SIMULATED: nothing is behind %d of these %d devices; what runs on them computes nothing.", n, len(devices))
}

func deviceTable(devices []api.Device, wide bool) *table {
	head := []string{"DEVICE", "NAME", "MEMORY", "USE", "TEMP", "POWER", "TAKEN", "HELD BY", "HEALTH"}
	simulated := simulatedLine(devices) != ""
	if simulated {
		head = slices.Insert(head, 1, "SIMULATED")
	}
	if wide {
		head = append(head, "SLOT", "NODE", "NUMA", "PCI", "LINKS", "ID")
	}
	t := newTable(head...)
	for _, d := range devices {
		row := []string{d.Ref, orDash(d.Name), memoryWords(d.MemoryUsed, d.MemoryTotal), percent(d.Utilization), degrees(d.Temperature), watts(d.Power),
			d.Taken, orDash(strings.Join(holderWords(d.Holders), ", ")), d.Health + because(briefly(d.Reason))}
		if simulated {
			row = slices.Insert(row, 1, yesOrDash(d.Simulated))
		}
		if wide {
			row = append(row, d.Slot, d.Node, numaWord(d.NUMA), orDash(d.PCI), orDash(strings.Join(linkWords(d.Links), "; ")), d.ID)
		}
		t.add(row...)
	}
	return t
}

func yesOrDash(yes bool) string {
	if yes {
		return "simulated"
	}
	return "-"
}

// holderWords are the sessions that hold a device, with their part where it is not all of it.
func holderWords(holders []api.Holder) []string {
	var out []string
	for _, h := range holders {
		word := h.Name
		if word == "" {
			word = h.Session
		}
		if h.Share != "1.00" {
			word += " " + h.Share
		}
		if h.State == api.HolderLeaving {
			word += " (leaving)"
		}
		out = append(out, word)
	}
	return out
}

// linkWords are the kinds of links with the devices at their other ends.
func linkWords(links []api.Link) []string {
	kinds := map[string][]string{}
	for _, l := range links {
		kinds[l.Kind] = append(kinds[l.Kind], l.Ref)
	}
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, kind+" "+strings.Join(kinds[kind], " "))
	}
	return out
}

// What is not known is "-".
func known(v float64, format string) string {
	if !(v >= 0) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func percent(part float64) string { return known(part*100, "%.0f %%") }
func degrees(v float64) string    { return known(v, "%.0f °C") }
func watts(v float64) string      { return known(v, "%.0f W") }

func bytesOrDash(n int64) string {
	if n < 0 {
		return "-"
	}
	return bytesize.Format(n)
}

func numaWord(n int) string {
	if n < 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// memoryWords writes used and total in one unit where both are known: 9.0/80 GiB.
func memoryWords(used, total int64) string {
	switch {
	case used < 0 && total < 0:
		return "-"
	case total < 0:
		return bytesize.Format(used)
	}
	number, unit, _ := strings.Cut(bytesize.Format(total), " ")
	if used < 0 {
		return "-/" + number + " " + unit
	}
	scale := math.Pow(1024, float64(strings.Index("BKMGTP", unit[:1])))
	digits := 1
	if unit == "B" {
		digits = 0
	}
	return strconv.FormatFloat(float64(used)/scale, 'f', digits, 64) + "/" + number + " " + unit
}

func (a *app) deviceInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info DEVICE", Aliases: []string{"show", "describe"}, Short: "Show an accelerator, who holds it, and its last hour", Args: words("DEVICE", 1, 1),
		Long:              "Show an accelerator. DEVICE is what device list calls it (cuda:0), its id, or the beginning of its id.",
		ValidArgsFunction: a.completeAt(0, a.deviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.Device(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{d.Health}, json: d, text: func() error {
				a.printDevice(d)
				return a.printHistory(cmd.Context(), c, d)
			}})
		},
	}
}

func (a *app) printDevice(d api.Device) {
	if d.Simulated {
		fmt.Fprintln(a.out, "SIMULATED: nothing is behind this device; what runs on it computes nothing.")
	}
	sampled, health := "", d.Health
	if d.Since != nil {
		health += " since " + a.ago(*d.Since)
	}
	if d.SampledAt != nil {
		sampled = a.ago(*d.SampledAt)
	}
	a.fields(
		[2]string{"device", d.Ref}, [2]string{"name", d.Name}, [2]string{"id", d.ID}, [2]string{"node", d.Node},
		[2]string{"slot", d.Slot}, [2]string{"health", health + because(d.Reason)}, [2]string{"taken", d.Taken + " of 1.00"},
		[2]string{"memory", memoryWords(d.MemoryUsed, d.MemoryTotal)}, [2]string{"use", percent(d.Utilization)},
		[2]string{"temperature", degrees(d.Temperature)}, [2]string{"power", watts(d.Power)}, [2]string{"sampled", sampled},
		[2]string{"slice of", d.Parent}, [2]string{"NUMA node", numaWord(d.NUMA)}, [2]string{"PCI", d.PCI},
		[2]string{"links", strings.Join(linkWords(d.Links), "; ")},
	)
	if len(d.Holders) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	t := newTable("HELD BY", "NAME", "SERVICE", "PROJECT", "ASKED", "SHARE", "MEMORY", "USES", "STATE")
	for _, h := range d.Holders {
		uses := bytesOrDash(h.MemoryUsed)
		if h.Memory > 0 && h.MemoryUsed > h.Memory {
			uses += ", over its share"
		}
		t.add(h.Session, orDash(h.Name), orDash(h.Service), orDash(h.Project), h.Slot, h.Share, bytesOrDash(h.Memory), uses, h.State)
	}
	t.write(a.out)
}

// The part of a history that info shows.
const (
	historyMarks = 60
	historyStep  = time.Minute
)

// printHistory draws the last hour, a mark a minute.
func (a *app) printHistory(ctx context.Context, c *api.Client, d api.Device) error {
	to := a.now().Truncate(historyStep).Add(historyStep) // steps begin at whole minutes
	h, err := c.DeviceHistory(ctx, d.ID, api.Period{From: to.Add(-historyMarks * historyStep), To: to, Step: historyStep})
	if err != nil {
		return fmt.Errorf("reading its history: %w", err)
	}
	if len(h.Points) == 0 {
		fmt.Fprintln(a.out, "\nNothing is kept of its last hour.")
		return nil
	}
	fmt.Fprintln(a.out, "\nThe last hour, a mark a minute:")
	for _, row := range []struct {
		name  string
		most  float64 // what a full mark stands for; 0: the most that was seen
		value func(api.DevicePoint) float64
		write func(float64) string
	}{
		{"use", 1, func(p api.DevicePoint) float64 { return p.Utilization }, percent},
		{"memory", float64(d.MemoryTotal), func(p api.DevicePoint) float64 { return float64(p.MemoryUsed) }, func(v float64) string { return bytesize.Format(int64(v)) }},
		{"power", 0, func(p api.DevicePoint) float64 { return p.Power }, watts},
		{"temperature", 100, func(p api.DevicePoint) float64 { return p.Temperature }, degrees},
	} {
		values := buckets(h, row.value)
		least, most := extent(values)
		if most < 0 {
			continue // it does not tell
		}
		full := row.most
		if full <= 0 {
			full = most
		}
		fmt.Fprintf(a.out, "%-12s %s  %s to %s\n", row.name, spark(values, full), row.write(least), row.write(most))
	}
	return nil
}

// buckets lays a history's points onto marks of one step each; a mark without a point is -1.
func buckets(h api.DeviceHistory, value func(api.DevicePoint) float64) []float64 {
	sums, counts := make([]float64, historyMarks), make([]int, historyMarks)
	for _, p := range h.Points {
		i := int(p.At.Sub(h.From) / historyStep)
		if v := value(p); v >= 0 && i >= 0 && i < historyMarks {
			sums[i] += v
			counts[i]++
		}
	}
	for i := range sums {
		if counts[i] == 0 {
			sums[i] = -1
			continue
		}
		sums[i] /= float64(counts[i])
	}
	return sums
}

// extent is the least and the most that is known; -1 where nothing is.
func extent(values []float64) (least, most float64) {
	least, most = -1, -1
	for _, v := range values {
		if v < 0 {
			continue
		}
		if least < 0 || v < least {
			least = v
		}
		most = max(most, v)
	}
	return least, most
}

func (a *app) deviceFence() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "fence DEVICE...", Short: "Take accelerators out of use: no session starts on them until they are unfenced",
		Example: "  palisade device fence cuda:3 --reason 'its fan is replaced on Monday'",
		Args:    words("DEVICE", 1, -1), ValidArgsFunction: a.completeAt(-1, a.deviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return &usageError{message: "--reason is needed", hint: "it is shown to those whose sessions wait: --reason 'its fan is replaced on Monday'"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error {
				_, err := c.FenceDevice(cmd.Context(), ref, reason)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in one sentence (needed)")
	return cmd
}

func (a *app) deviceUnfence() *cobra.Command {
	return &cobra.Command{
		Use: "unfence DEVICE...", Short: "Put accelerators back into use, and forget the fault that took them out",
		Args: words("DEVICE", 1, -1), ValidArgsFunction: a.completeAt(-1, a.deviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error {
				d, err := c.UnfenceDevice(cmd.Context(), ref)
				if err == nil && d.Health != api.DeviceOK {
					a.notef("%s is still %s%s", ref, d.Health, because(d.Reason))
				}
				return err
			})
		},
	}
}

func (a *app) deviceNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Devices(ctx)
	return namesOf(items, err, func(d api.Device) string { return d.Ref + "\t" + d.Name + " " + d.Health })
}
