package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/training/pipeline"
)

// retire removes the oldest ended jobs of a pipeline that are more than are kept, with what they left.
func (k *Keeper) retire(ctx context.Context, project, name string) {
	var ended []*pipeline.Job
	for _, j := range k.jobs {
		if j.Project == project && j.Pipeline == name && j.Status.Ended() {
			ended = append(ended, j)
		}
	}
	if len(ended) == 0 {
		return
	}
	keep := pipeline.DefaultKeep
	if d, _ := pipeline.Parse("", []byte(ended[len(ended)-1].Source)); d != nil {
		keep = d.KeepJobs
	}
	for _, j := range ended[:max(len(ended)-keep, 0)] {
		if err := k.forget(ctx, j); err != nil {
			k.complain(ctx, "retire/"+j.ID, "an old job stays for now", err, "job", j.Name())
			return
		}
	}
	k.unswept[project+"/"+name] = true
}

// forget takes a job away. What it left goes with the next sweep.
func (k *Keeper) forget(ctx context.Context, j *pipeline.Job) error {
	saving, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := k.Store.DeleteJob(saving, j.ID); err != nil {
		return err
	}
	k.jobs = slices.DeleteFunc(k.jobs, func(other *pipeline.Job) bool { return other == j })
	k.publish()
	return nil
}

// sweeps has folders swept that are to be. Not while a step begins: it may be about to use again what a job has left that is
// not kept any more.
func (k *Keeper) sweeps(ctx context.Context) {
	for key := range k.unswept {
		beginning := slices.ContainsFunc(k.jobs, func(j *pipeline.Job) bool {
			return j.Project+"/"+j.Pipeline == key && slices.ContainsFunc(j.Steps, func(p pipeline.Progress) bool {
				return p.Session == "" && p.Rollout == nil && k.busy[j.ID+"/"+p.Key] != nil
			})
		})
		if !beginning && k.busy["sweep/"+key] == nil {
			delete(k.unswept, key)
			project, name, _ := strings.Cut(key, "/")
			k.sweep(ctx, project, name)
		}
	}
}

// sweep deletes what no job that is kept has left, or uses.
func (k *Keeper) sweep(ctx context.Context, project, name string) {
	used, attempts := map[string]bool{}, map[string]int{}
	for _, j := range k.jobs {
		if j.Project != project || j.Pipeline != name {
			continue
		}
		for _, p := range j.Steps {
			used[p.Output] = true
			attempts[fmt.Sprintf("%d/%s", j.Number, p.Key)] = p.Attempt
		}
	}
	stays := func(dir string) bool {
		of, attempt, _ := strings.Cut(dir, ".")
		n, err := strconv.Atoi(attempt)
		now, known := attempts[of]
		return used[dir] || err == nil && known && n >= now // it may be resumed meanwhile
	}
	// Jobs that are made while it goes on have higher numbers.
	newest := 0
	if kept := k.kept[project+"/"+name]; kept != nil {
		newest = kept.LastJob
	}
	k.do(ctx, "sweep/"+project+"/"+name, func(ctx context.Context, _ <-chan struct{}) func(context.Context) {
		if err := k.sweepFolder(ctx, project, name, func(number int, dir string) bool { return number > newest || stays(dir) }); err != nil {
			k.Log.WarnContext(ctx, "what old jobs left stays for now", "pipeline", name, "error", err)
		}
		return nil
	})
}

func (k *Keeper) sweepFolder(ctx context.Context, project, name string, stays func(number int, dir string) bool) error {
	_, root, err := k.find(ctx, project, name)
	if errors.Is(err, folders.ErrNotFound) || errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	numbers, err := fs.ReadDir(root.FS(), ".")
	for _, n := range numbers {
		var number int
		if _, bad := fmt.Sscanf(n.Name(), "%d", &number); bad != nil || fmt.Sprint(number) != n.Name() || !n.IsDir() {
			continue // somebody put it there
		}
		dirs, failed := fs.ReadDir(root.FS(), n.Name())
		err = errors.Join(err, failed)
		left := 0
		for _, d := range dirs {
			dir := path.Join(n.Name(), d.Name())
			if stays(number, dir) {
				left++
				continue
			}
			err = errors.Join(err, root.RemoveAll(dir), ctx.Err())
		}
		if left == 0 && !stays(number, n.Name()) {
			err = errors.Join(err, root.RemoveAll(n.Name()))
		}
	}
	return err
}
