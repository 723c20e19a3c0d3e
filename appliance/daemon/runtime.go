package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/variants"
)

// runtimeChoice is the runtime of this box and why it is this one.
type runtimeChoice struct {
	sessions.Runtime
	sessions.Observer
	name    string
	why     string
	process *process.Runtime
	network *network.Network // nil: sessions share the box's own
}

// logFiles is how many files a session's log rotates through.
const logFiles = 4

// chooseRuntime opens the runtime that the settings name, or the one that this box offers.
func chooseRuntime(c config.Config, executable string, log *slog.Logger) (runtimeChoice, error) {
	choice := runtimeChoice{name: config.RuntimeProcess, why: "the settings say so"}
	switch c.Runtime {
	case config.RuntimeContainerd:
		return choice, hinted{errors.New("sessions in containerd are not part of this version"), "use --runtime process, with the image host"}
	case config.RuntimeAuto:
		choice.why = "the only one of this version"
	}
	if os.Geteuid() == 0 {
		n, err := network.Open(network.Config{
			Dir: filepath.Join(c.Data, "netns"), Bridge: c.Network.Bridge, CIDR: c.Network.CIDR, Pool: c.Network.Pool,
			DefaultRoute: c.Network.DefaultRoute, Log: log,
		})
		// Root of a container may lack the right to make networks: sessions then share the box's, which `palisade
		// doctor` says, and is better than no appliance.
		if err != nil {
			log.Warn("sessions share the box's network: their own cannot be made", "error", err)
		} else {
			choice.network = n
		}
	}
	run, err := process.New(process.Config{
		Root: filepath.Join(c.Data, "sessions"), Executable: executable, Network: choice.network,
		Hide: []string{c.Data}, LogFiles: logFiles, LogSize: c.Limits.SessionLog / logFiles, Log: log,
	})
	if err != nil {
		return choice, fmt.Errorf("opening the process runtime: %w", err)
	}
	choice.Runtime, choice.Observer, choice.process = run, run, run
	return choice, nil
}

// describeVariants shows the variants on the wire.
func describeVariants(table *variants.Table) []api.Runtime {
	all := table.All()
	out := make([]api.Runtime, len(all))
	for i, v := range all {
		out[i] = api.Runtime{
			Name: v.Name, Port: v.Port, Command: v.Command, Custom: !v.BuiltIn, Description: cmp.Or(v.Description, v.Title),
		}
		if v.Health != nil {
			out[i].Health = v.Health.Path
		}
	}
	return out
}
