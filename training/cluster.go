package training

import (
	"cmp"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// checkCluster reports what is wrong with a wish for several containers.
func checkCluster(w Wish) (ps catalog.Problems) {
	wrong := func(field, hint, format string, args ...any) { ps = append(ps, problem(field, hint, format, args...)) }
	if w.ClusterSize < 0 || w.ClusterSize > sessions.MaxCluster {
		wrong("cluster_size", "", "%d: a number from 1 to %d", w.ClusterSize, sessions.MaxCluster)
	}
	switch {
	case !slices.Contains([]sessions.ClusterMode{"", sessions.ClusterSingleNode, sessions.ClusterMultiNode}, w.ClusterMode):
		wrong("cluster_mode", "single-node: all containers on one box; multi-node: on as few boxes as it can be", "%q: single-node or multi-node", w.ClusterMode)
	case w.ClusterMode == sessions.ClusterMultiNode && w.ClusterSize < 2:
		wrong("cluster_mode", "with --cluster-size 2 there are two", "the session has one container")
	}
	switch {
	case !slices.Contains([]sessions.ClusterRun{"", sessions.ClusterRunMain, sessions.ClusterRunAll}, w.ClusterRun):
		wrong("cluster_run", "main: the others answer ssh; all: each runs the command with its RANK", "%q: main or all", w.ClusterRun)
	case w.ClusterRun != "" && w.ClusterSize < 2:
		wrong("cluster_run", "with --cluster-size 2 there are two", "the session has one container")
	case w.ClusterRun == sessions.ClusterRunAll && strings.TrimSpace(w.Command) == "":
		wrong("cluster_run", "for example: -c 'python train.py'", "there is no startup command that all could run")
	}
	return ps
}

// clusterOf is how the main container of a session of several is started, and how the others are. The command begins where it
// is to run once all are there.
func clusterOf(w Wish) (main variants.LaunchSpec, req *sessions.ClusterRequest) {
	req = &sessions.ClusterRequest{Size: w.ClusterSize, Mode: w.ClusterMode, Run: cmp.Or(w.ClusterRun, sessions.ClusterRunMain)}
	line := w.Command
	if strings.TrimSpace(line) != "" {
		line = sessions.GatedLine(line)
	}
	main, req.Sub = launchLine(w, line), launchLine(w, "")
	if req.Run == sessions.ClusterRunAll {
		req.Sub = launchLine(w, line)
	}
	return main, req
}
