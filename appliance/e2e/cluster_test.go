package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type clusterView struct {
	Name, Status, Result, Outcome string
	Restarts                      int
	Exit                          *struct {
		Message string
		Code    int
	}
	Cluster *struct {
		Size       int
		Containers []struct{ ID, Name, Host, Status, Address string }
	}
}

func (b *box) cluster(ref string) clusterView {
	b.t.Helper()
	var v clusterView
	b.into(&v, "session", "info", ref)
	return v
}

// TestCluster: several processes of the box as one session, which is what an owner of one sees of it from the first word to
// the last.
func TestCluster(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	dir := b.data("results")
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	t.Run("each runs the command with its rank", func(t *testing.T) {
		b.run("session", "create", "host", "--name", "ranks", "--cluster-size", "4", "--cluster-run", "all", "-v", "results", "--wait", "-c",
			`echo "$RANK of $WORLD_SIZE at $MASTER_ADDR, $BACKENDAI_CLUSTER_ROLE $BACKENDAI_CLUSTER_IDX, $(hostname)" > results/rank-$RANK
			for host in main1 sub1 sub2 sub3 ranks ranks-sub3; do getent hosts $host; done > results/names-$RANK`)
		want := []string{
			"0 of 4 at main1, main 1, main1", "1 of 4 at main1, sub 1, sub1", "2 of 4 at main1, sub 2, sub2", "3 of 4 at main1, sub 3, sub3",
		}
		for rank, line := range want {
			if got := strings.TrimSpace(read(fmt.Sprintf("rank-%d", rank))); got != line {
				t.Errorf("rank %d: %q", rank, got)
			}
			names := read(fmt.Sprintf("names-%d", rank))
			if names != read("names-0") || strings.Count(names, "\n") != 6 || strings.Contains(names, "127.0.0.1") {
				t.Errorf("rank %d knows as names:\n%s", rank, names)
			}
		}
		if v := b.cluster("ranks"); v.Result != "success" || v.Cluster.Size != 4 || len(v.Cluster.Containers) != 4 {
			t.Errorf("%+v", v)
		}
	})

	t.Run("the main one has the others by ssh", func(t *testing.T) {
		b.run("session", "create", "host", "--name", "lead", "--cluster-size", "3", "-v", "results", "--wait", "-c",
			`set -e
			for host in $(cut -d' ' -f1 "$PALISADE_HOSTFILE"); do ssh $host 'echo "$BACKENDAI_CLUSTER_HOST $RANK $(hostname)"'; done > results/hosts
			ssh sub2 'exit 9' || echo "code $?" >> results/hosts
			echo through | ssh sub1 cat >> results/hosts
			ssh -t -t sub1 'tty >/dev/null && echo terminal' | tr -d '\r' >> results/hosts
			echo copied > one && scp -q one sub1:/tmp/two && ssh sub1 cat /tmp/two >> results/hosts`)
		if got, want := read("hosts"), "main1 0 main1\nsub1 1 sub1\nsub2 2 sub2\ncode 9\nthrough\nterminal\ncopied\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})

	t.Run("it is one session, and no other reaches it", func(t *testing.T) {
		b.run("session", "create", "host", "--name", "open", "--cluster-size", "2")
		b.run("session", "create", "host", "--name", "stranger")
		b.becomes("open", "RUNNING")
		b.becomes("stranger", "RUNNING")
		if ps := b.run("ps"); strings.Contains(ps, "open-sub1") {
			t.Errorf("ps:\n%s", ps)
		}
		v := b.cluster("open")
		if info := b.run("session", "info", "open"); !strings.Contains(info, "sub1") || !strings.Contains(info, v.Cluster.Containers[1].ID) {
			t.Errorf("info:\n%s", info)
		}
		if got := b.run("session", "exec", "open", "--", "ssh", "sub1", "hostname"); got != "sub1" {
			t.Errorf("ssh in an interactive one: %q", got)
		}
		if got := b.run("session", "exec", "open-sub1", "--", "sh", "-c", "ssh main1 hostname"); got != "main1" {
			t.Errorf("ssh back: %q", got)
		}
		b.fails(1, nil, "session", "exec", "stranger", "--", "bash", "-c", "exec 3<>/dev/tcp/"+v.Cluster.Containers[1].Address+"/2200")

		b.kill()
		b.start()
		if now := b.cluster("open"); now.Status != "RUNNING" || now.Restarts != 0 || now.Cluster.Containers[1].Status != "RUNNING" {
			t.Errorf("after the daemon was killed: %+v", now)
		}
		b.run("session", "restart", "open-sub1")
		if err := eventually(soon, func() error {
			out, errs, code := b.cli("session", "exec", "open", "--", "ssh", "sub1", "echo run $PALISADE_RESTART_COUNT")
			if code != 0 || strings.TrimSpace(out) != "run 1" {
				return fmt.Errorf("%q %q %d", out, errs, code)
			}
			return nil
		}); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		b.run("session", "rm", "open", "stranger")
		b.becomes("open", "TERMINATED")
		b.becomes("open-sub1", "TERMINATED")
	})

	t.Run("what fails fails whole", func(t *testing.T) {
		b.fails(3, []string{"sub1"}, "session", "create", "host", "--name", "half", "--cluster-size", "3", "--cluster-run", "all", "--wait", "-c",
			`if [ $RANK = 1 ]; then echo no data >&2; exit 3; fi; exec sleep 1000`)
		v := b.cluster("half")
		if v.Result != "failure" || !strings.Contains(v.Exit.Message, "sub1: ") {
			t.Errorf("%+v %+v", v, v.Exit)
		}
		for _, c := range v.Cluster.Containers {
			b.becomes(c.ID, "TERMINATED")
		}
		b.fails(1, []string{"cluster"}, "session", "create", "host", "--cluster-size", "65")
		b.fails(1, []string{"single-node or multi-node"}, "session", "create", "host", "--cluster-size", "2", "--cluster-mode", "both")
	})
}

// TestClusterInContainers: a job of four ranks really runs, by torch.distributed and by MPI over ssh.
func TestClusterInContainers(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "containerd", "--containerd", "private"}
	b.start()
	b.run("image", "import", sessionImage(t, "pytorch-cpu"))
	dir := b.data("results")
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, text := range map[string]string{
		"reduce.py": `import torch, torch.distributed as dist
dist.init_process_group("gloo")
t = torch.ones(1) * (dist.get_rank() + 1)
dist.all_reduce(t)
open(f"/home/work/results/sum-{dist.get_rank()}", "w").write(f"{int(t.item())} of {dist.get_world_size()}")
`,
		"mpi.py": `from mpi4py import MPI
import socket
c = MPI.COMM_WORLD
names = c.gather(socket.gethostname(), root=0)
if c.rank == 0:
    open("/home/work/results/mpi", "w").write(" ".join(sorted(names)))
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the image's user is not the box's
		t.Fatal(err)
	}
	create := []string{"session", "create", "palisade/pytorch-cpu", "--cluster-size", "4", "-v", "results", "--wait", "--timeout", "3m"}
	t.Run("torch.distributed", func(t *testing.T) {
		b.run(append(create, "--name", "torch", "--cluster-run", "all", "-e", "OMP_NUM_THREADS=1", "-c", "python3 results/reduce.py")...)
		for rank := range 4 {
			if got := read(fmt.Sprintf("sum-%d", rank)); got != "10 of 4" {
				t.Errorf("rank %d has %q", rank, got)
			}
		}
	})
	t.Run("MPI", func(t *testing.T) {
		b.run(append(create, "--name", "mpi", "-c", "mpirun -np 4 python3 results/mpi.py && scp -q results/mpi sub2:/tmp/x && ssh sub2 'whoami; echo $HOME; cat /tmp/x' > results/ssh")...)
		if got := read("mpi"); got != "main1 sub1 sub2 sub3" {
			t.Errorf("ranks ran on %q", got)
		}
		if got := read("ssh"); got != "work\n/home/work\nmain1 sub1 sub2 sub3" {
			t.Errorf("over ssh: %q", got)
		}
	})
}

// sessionImage is the archive of an image that comes with Palisade, which is built where nobody has.
func sessionImage(t *testing.T, name string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := output(root, "sh", "-c", `at="${PALISADE_CACHE:-$HOME/.cache/palisade}/images/$0.oci.tar"
		[ -e "$at" ] || make -s images ARGS="$0" >&2; ls "$at"`, name)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}
