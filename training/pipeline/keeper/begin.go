package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/pipeline"
)

// FolderPrefix begins the name of the folder of a pipeline.
const FolderPrefix = "pipeline-"

// begun is what came of starting a step.
type begun struct {
	session string
	output  string
	cache   string
	from    string // the job whose outputs are used again; "": none
	err     error
}

// begin has a step's session made, or finds that it need not run.
func (k *Keeper) begin(ctx context.Context, j *pipeline.Job, step pipeline.Step) {
	job, p := *j, *j.Of(step.Key) // as they are now
	var earlier []*pipeline.Job   // newest first
	for _, other := range slices.Backward(k.jobs) {
		if other.ID != j.ID && other.Project == j.Project && other.Pipeline == j.Pipeline && !j.NoCache {
			copied := *other
			earlier = append(earlier, &copied)
		}
	}
	k.do(ctx, j.ID+"/"+step.Key, func(ctx context.Context, _ <-chan struct{}) func(context.Context) {
		b := k.start(ctx, &job, step, p, earlier)
		return func(ctx context.Context) { k.began(ctx, &job, p, b) }
	})
}

// began takes over what came of starting a step. A session that nobody wants any more is found as an orphan.
func (k *Keeper) began(ctx context.Context, was *pipeline.Job, of pipeline.Progress, b begun) {
	now := clock()
	err := k.edit(ctx, was.ID, func(_ *pipeline.Job, s *pipeline.State) {
		p := s.Of(of.Key)
		if p.Status != pipeline.StepRunning || p.Attempt != of.Attempt || p.Session != "" {
			return
		}
		switch {
		case b.err == nil && b.from != "":
			p.Status, p.Output, p.CachedFrom, p.Cache, p.EndedAt = pipeline.StepCached, b.output, b.from, b.cache, now
			p.Reason = "nothing of it has changed since " + b.from
		case b.err == nil:
			p.Session, p.Output, p.Cache, p.Reason, p.TryAt, p.Tries = b.session, b.output, b.cache, "its session is in the queue", time.Time{}, 0
		case final(b.err):
			p.Status, p.EndedAt, p.Reason = pipeline.StepFailed, now, strings.ReplaceAll(b.err.Error(), "\n", "; ")
		default:
			p.Blocked(b.err, now)
		}
	})
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) { // its session is found by its origin
		k.complain(ctx, was.ID, "how a job stands could not be written down; it will be tried again", err, "job", was.Name())
	}
}

// final reports whether an error is one that the next try would meet again.
func final(err error) bool {
	return errors.Is(err, sessions.ErrInvalid) || errors.Is(err, folders.ErrInvalid) || errors.Is(err, folders.ErrNotFound) ||
		errors.Is(err, sessions.ErrNotFound) || errors.Is(err, sessions.ErrForbidden) || errors.Is(err, pipeline.ErrInvalid)
}

// clock is the time as it is kept.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// start makes a step's session. It may have been made before, by a daemon that then died.
func (k *Keeper) start(ctx context.Context, j *pipeline.Job, step pipeline.Step, p pipeline.Progress, earlier []*pipeline.Job) (b begun) {
	for _, s := range k.Sessions.Sessions(j.Project, sessions.SessionFilter{}) {
		if s.Task.Origin == origin(j, &p) && !s.IsSub() {
			b = begun{session: s.ID, output: output(j, &p)}
			if len(step.Run.Mounts) == 0 { // what folders held when it began is not known any more: it is not used again
				b.cache = k.cacheKey(ctx, j, step)
			}
			return b
		}
	}
	folder, root, err := k.folder(ctx, j)
	if err != nil {
		return begun{err: err}
	}
	defer root.Close()
	b.cache = k.cacheKey(ctx, j, step)
	there := func(output string) bool { info, err := root.Stat(output); return err == nil && info.IsDir() }
	if from, name, found := pipeline.Cached(earlier, b.cache, there); found {
		return begun{output: from, from: name, cache: b.cache}
	}
	b.output = output(j, &p)
	if b.err = fresh(root, b.output); b.err != nil {
		return b
	}
	b.session, b.err = k.create(ctx, wish(j, step, &p, folder))
	return b
}

// create asks for a session; where its name is taken by somebody's own, it gets another.
func (k *Keeper) create(ctx context.Context, w training.Wish) (string, error) {
	made, err := k.Desk.Create(ctx, w)
	if errors.Is(err, sessions.ErrExists) {
		w.Name = ""
		made, err = k.Desk.Create(ctx, w)
	}
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// output is where a step writes, in its pipeline's folder.
func output(j *pipeline.Job, p *pipeline.Progress) string {
	return fmt.Sprintf("%d/%s.%d", j.Number, p.Key, p.Attempt)
}

// mark is a file in every folder of a pipeline: what lies in it is deleted by numbers, which somebody's own might have too.
const mark = ".palisade-pipeline"

var errNotOurs = fmt.Errorf("%w: it is somebody's own and no pipeline's: rename it, or the pipeline", pipeline.ErrInvalid)

// find is the folder of a pipeline, opened; the caller closes it. folders.ErrNotFound where there is none, errNotOurs where one
// of its name has something in it that no pipeline has put there.
func (k *Keeper) find(ctx context.Context, project, name string) (folders.Folder, *os.Root, error) {
	f, err := k.Folders.Find(ctx, project, FolderPrefix+name)
	if err != nil {
		return f, nil, err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return f, nil, err
	}
	inside, err := fs.ReadDir(root.FS(), ".")
	ours := slices.ContainsFunc(inside, func(e fs.DirEntry) bool { return e.Name() == mark })
	switch {
	case ours || err != nil:
	case len(inside) > 0:
		err = fmt.Errorf("folder %s: %w", f.Name, errNotOurs)
	default: // it has just been made
		err = root.WriteFile(mark, []byte("pipeline "+name+"\n"), 0o644)
	}
	if err != nil {
		return f, nil, errors.Join(err, root.Close())
	}
	return f, root, nil
}

// folder is that of a pipeline; it is made where there is none.
func (k *Keeper) folder(ctx context.Context, j *pipeline.Job) (folders.Folder, *os.Root, error) {
	f, root, err := k.find(ctx, j.Project, j.Pipeline)
	if !errors.Is(err, folders.ErrNotFound) {
		return f, root, err
	}
	_, err = k.Folders.Create(ctx, folders.Spec{Name: FolderPrefix + j.Pipeline, Project: j.Project, Usage: folders.UsageData, CreatedBy: j.CreatedBy})
	if err != nil && !errors.Is(err, folders.ErrExists) { // or another step was quicker
		return f, nil, err
	}
	return k.find(ctx, j.Project, j.Pipeline)
}

// fresh makes an empty directory that whoever the session runs as may write to.
func fresh(root *os.Root, dir string) error {
	if err := root.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if err := root.Chmod(dir, 0o777); err != nil {
		return fmt.Errorf("opening %s to its session: %w", dir, err)
	}
	return nil
}

// wish is a step's session.
func wish(j *pipeline.Job, step pipeline.Step, p *pipeline.Progress, folder folders.Folder) training.Wish {
	run := step.Run
	w := Wish(j.Project, j.CreatedBy, run)
	w.Name, w.Origin = sessionName(j, p), origin(j, p)
	mount := func(sub, target string, readOnly bool) {
		w.Mounts = append(w.Mounts, training.Mount{Folder: folder.ID, Sub: sub, Target: target, ReadOnly: readOnly})
	}
	mount(output(j, p), pipeline.OutputsDir, false)
	var inputs []string
	for i, in := range step.Inputs {
		at := pipeline.InputDir + strconv.Itoa(i+1)
		inputs = append(inputs, at)
		for _, key := range in.Keys {
			from := j.Of(key).Output
			switch {
			case from == "": // it serves, and leaves nothing
			case in.Matrix:
				mount(from, path.Join(at, key), true)
			default:
				mount(from, at, true)
			}
		}
	}
	maps.Copy(w.Env, map[string]string{
		"BACKENDAI_PIPELINE_JOB_ID": j.ID, "PALISADE_PIPELINE_JOB_ID": j.ID, "PALISADE_PIPELINE_JOB": j.Name(), "PALISADE_PIPELINE_NAME": j.Pipeline,
		"PALISADE_PIPELINE_TASK": p.Key, "PALISADE_PIPELINE_ATTEMPT": strconv.Itoa(p.Attempt),
		"PALISADE_PIPELINE_OUTPUTS": pipeline.OutputsDir, "PALISADE_PIPELINE_INPUTS": strings.Join(inputs, ":"),
	})
	return w
}

// Wish is a step's session without what only its job knows.
func Wish(project, by string, run *pipeline.Run) training.Wish {
	w := training.Wish{
		Project: project, CreatedBy: by, Type: sessions.TypeBatch, Image: run.Image, Command: run.Command, Env: map[string]string{},
		Resources: run.Resources, ResourceOpts: run.ResourceOpts, Selector: run.Selector, Priority: run.Priority, Preemptible: run.Preemptible,
		MinRuntime: run.MinRuntime, Timeout: run.Timeout, Retries: run.Retries,
	}
	maps.Copy(w.Env, run.Env)
	if c := run.Cluster; c != nil {
		w.ClusterSize, w.ClusterMode, w.ClusterRun = c.Size, sessions.ClusterMode(c.Mode), sessions.ClusterRun(c.Run)
	}
	for _, m := range run.Mounts {
		w.Mounts = append(w.Mounts, training.Mount{Folder: m.Folder, Sub: m.Sub, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return w
}

// sessionName is what people see in `palisade ps`: digits-3-train-2.
func sessionName(j *pipeline.Job, p *pipeline.Progress) string {
	tail := fmt.Sprintf("-%d-%s", j.Number, p.Key)
	return strings.TrimRight(j.Pipeline[:min(len(j.Pipeline), 64-len(tail))], "-") + tail
}

// cacheKey names all that the outcome of a step depends on; "" where that cannot be told, or is not wanted.
func (k *Keeper) cacheKey(ctx context.Context, j *pipeline.Job, step pipeline.Step) string {
	if !step.Run.Cache {
		return ""
	}
	c := pipeline.Circumstances{Image: k.Digest(ctx, step.Run.Image)}
	if c.Image == "" { // it is still to be pulled, and may be another each time
		return ""
	}
	for _, key := range step.Needs() {
		c.Inputs = append(c.Inputs, j.Of(key).Output)
	}
	for _, m := range step.Run.Mounts {
		state, err := k.fingerprint(ctx, folders.Who{Person: j.CreatedBy, Project: j.Project}, m)
		if err != nil {
			k.Log.DebugContext(ctx, "a task's outputs will not be used again", "job", j.Name(), "task", step.Key, "error", err)
			return ""
		}
		c.Folders = append(c.Folders, state)
	}
	return pipeline.CacheKey(step, c)
}

// mostFiles of a folder are looked at to see whether it has changed.
const mostFiles = 100_000

// fingerprint is a word for what is in a folder: names, sizes, times.
func (k *Keeper) fingerprint(ctx context.Context, who folders.Who, m pipeline.Mount) (string, error) {
	f, err := k.Folders.Reach(ctx, who, m.Folder, folders.ReadOnly)
	if err != nil {
		return "", err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return "", err
	}
	defer root.Close()
	sum, files := sha256.New(), 0
	fmt.Fprintf(sum, "%s\x00%s\x00", f.ID, m.Sub)
	err = fs.WalkDir(root.FS(), path.Join(".", m.Sub), func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if files++; files > mostFiles {
			return fmt.Errorf("folder %s has more than %d files", f.Name, mostFiles)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.IsDir() { // a file more or less shows by itself
			return nil
		}
		fmt.Fprintf(sum, "%s\x00%d\x00%d\x00%s\x00", name, info.Size(), info.ModTime().UnixNano(), info.Mode())
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
