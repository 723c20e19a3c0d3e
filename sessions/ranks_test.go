package sessions_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// big asks for a service whose route takes more than half of each of several boxes.
func big(size int, change ...func(*sessions.ServiceRequest)) sessions.ServiceRequest {
	r := sessions.ServiceRequest{
		Name: "big", Project: "default", CreatedBy: "owner", Replicas: 1,
		Recipe: sessions.Recipe{
			Image: "host", Variant: "cmd", Resources: map[string]string{"cuda.device": "5"}, ClusterSize: size, ClusterMode: sessions.ClusterMultiNode,
		},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// onBoxes plays with boxes of eight devices each.
func onBoxes(t *testing.T, names string, play func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		for name := range strings.FieldsSeq(names) {
			n := *eight()
			n.Name, n.Devices = name, slices.Clone(n.Devices)
			for i := range n.Devices {
				n.Devices[i].ID = name + n.Devices[i].ID
			}
			if w.node == nil {
				w.node = &n
			} else {
				w.more = append(w.more, n)
			}
		}
		w.shared = newShared()
		w.nets = sessions.ClusterNets{
			Pool: netip.MustParsePrefix("10.208.0.0/13"), Port: 4789,
			Reach: func(node string) (sessions.NetKind, netip.Addr) {
				return sessions.NetVXLAN, netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
			},
		}
		w.boot()
		play(t, w)
		w.wantLedger()
	})
}

// freeOver is how many hundredths of devices nobody holds, on all boxes.
func (w *world) freeOver() (free accel.Amount) {
	for _, state := range w.ledger.Pool() {
		free += state.Free("cuda.device")
	}
	return free
}

// serves makes a service and waits until its route answers.
func (w *world) serves(req sessions.ServiceRequest) (route string) {
	w.t.Helper()
	if _, err := w.m.CreateService(w.t.Context(), req); err != nil {
		w.t.Fatal(err)
	}
	w.after(2 * time.Second)
	w.wantStatus(req.Name, sessions.ServiceHealthy)
	return w.wantUp(req.Name, 1)[0]
}

// TestRouteOfSeveralContainers: they have their places together, and the first one alone is probed, and routed to, when all run.
func TestRouteOfSeveralContainers(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		var hold atomic.Bool
		hold.Store(true)
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub2" && hold.Load() {
				return fmt.Errorf("%w: for a while", sessions.ErrRuntimeDown)
			}
			return nil
		})
		if _, err := w.m.CreateService(t.Context(), big(3)); err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		w.wantStatus("big", sessions.ServiceProvisioning)
		if w.probes != 0 {
			t.Error("probed before all run")
		}
		hold.Store(false)
		w.after(20 * time.Second)
		w.wantStatus("big", sessions.ServiceHealthy)
		id := w.wantUp("big", 1)[0]
		w.wantStatuses(id, allRun)
		if at := w.places(id); at != "a b c" {
			t.Errorf("on %s", at)
		}
		v := w.service("big")
		if len(v.Routes) != 1 || len(v.Routes[0].Containers) != 3 || v.Routes[0].Containers[2].Name != v.Routes[0].Name+"-sub2" {
			t.Errorf("%+v", v.Routes)
		}
		for _, spec := range w.runtime.Started() {
			rank := spec.Cluster.Rank
			ports := spec.Env["BACKENDAI_SERVICE_PORTS"]
			if spec.Env["RANK"] != fmt.Sprint(rank) || spec.Env["MASTER_ADDR"] != "main1" || spec.Cluster.Net.Kind != sessions.NetVXLAN ||
				spec.Labels[sessions.LabelCluster] != id || spec.Labels[sessions.LabelService] != v.ID || (ports == "inference:http:8000") != (rank == 0) {
				t.Errorf("rank %d: %v %v", rank, spec.Env, spec.Labels)
			}
		}
		if all := w.m.Sessions("default", sessions.SessionFilter{Live: true, NoSubs: true}); len(all) != 1 {
			t.Errorf("%d sessions", len(all))
		}
		w.halt()
		w.boot() // all of it is as it was, and answers at once
		if up := w.wantUp("big", 1); up[0] != id {
			t.Errorf("%s, was %s", up[0], id)
		}
		w.after(2 * time.Minute)
		w.wantStatuses(id, allRun)
		w.wantStatus("big", sessions.ServiceHealthy)
	})
}

// TestRouteEndsWithAnyOfIt: and another one takes its place, which counts as a failed start where it has not been up for long.
func TestRouteEndsWithAnyOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		rank     int
		reason   sessions.ExitReason
		code     int
		after    time.Duration
		failures int
		says     string
	}{
		"a worker fails":           {1, sessions.ExitFailed, 3, 10 * time.Second, 1, "sub1 has ended"},
		"a worker ends well":       {2, sessions.ExitCompleted, 0, 10 * time.Second, 1, "sub2 has ended"},
		"the head fails":           {0, sessions.ExitFailed, 1, 10 * time.Second, 1, "healthy, but"},
		"a worker, after a while":  {1, sessions.ExitOutOfMemory, 137, 10 * time.Minute, 0, ""},
		"the head, after a while":  {0, sessions.ExitFailed, 1, 10 * time.Minute, 0, ""},
		"a worker that is awaited": {1, sessions.ExitFailed, 3, 0, 1, "sub1 has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			onBoxes(t, "a b c", func(t *testing.T, w *world) {
				first := w.serves(big(3))
				w.after(c.after)
				w.balance.hold(first, 2) // nobody waits for requests that nobody can answer
				w.exit(w.container(first, c.rank), c.reason, c.code)
				w.after(900 * time.Millisecond)
				if v := w.service("big"); v.Failures != c.failures || !strings.Contains(v.LastError, c.says) {
					t.Errorf("%d failures, %s", v.Failures, v.LastError)
				}
				w.after(5 * time.Second)
				w.wantStatuses(first, allOver)
				second := w.wantUp("big", 1)[0]
				w.wantStatuses(second, allRun)
				if n := len(w.runtime.Running()); second == first || n != 3 {
					t.Errorf("%s after %s, %d run", second, first, n)
				}
			})
		})
	}
}

// TestRouteThatCannotStartWhole: what one of it cannot do, none does, and the next try waits.
func TestRouteThatCannotStartWhole(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		var starts atomic.Int64
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub1" {
				starts.Add(1)
				return errors.New("there is no such program")
			}
			return nil
		})
		if _, err := w.m.CreateService(t.Context(), big(3)); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		v := w.service("big")
		if n := starts.Load(); v.Failures < 3 || n > 8 || !strings.Contains(v.LastError, "no such program") {
			t.Errorf("%d starts, %d failures: %s", n, v.Failures, v.LastError)
		}
		if err := w.m.DestroyService(t.Context(), "default", "big", "ada"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if w.freeOver() != 2400 || len(w.runtime.Running()) != 0 || w.shared.kept() != 0 {
			t.Error("something of it is left")
		}
	})
}

// TestRouteDrainsBeforeItsWorkers: the head needs them for the requests that it has.
func TestRouteDrainsBeforeItsWorkers(t *testing.T) {
	for name, end := range map[string]func(w *world, id string) error{
		"scaled down": func(w *world, _ string) error {
			_, err := w.m.ScaleService(w.t.Context(), "default", "big", sessions.Scale{To: 0, By: "ada"})
			return err
		},
		"removed": func(w *world, _ string) error { return w.m.DestroyService(w.t.Context(), "default", "big", "ada") },
		"ended by name of a worker": func(w *world, id string) error {
			return errors.Join(w.m.TerminateSession(w.t.Context(), "default", w.container(id, 1), "ada", false), func() error {
				_, err := w.m.ScaleService(w.t.Context(), "default", "big", sessions.Scale{To: 0, By: "ada"})
				return err
			}())
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoxes(t, "a b c", func(t *testing.T, w *world) {
				id := w.serves(big(3))
				w.balance.hold(id, 1)
				if err := end(w, id); err != nil {
					t.Fatal(err)
				}
				w.after(5 * time.Second)
				w.wantStatuses(id, "TERMINATING RUNNING RUNNING")
				w.balance.hold(id, 0)
				w.after(time.Second)
				w.wantStatuses(id, allOver)
				if w.freeOver() != 2400 {
					t.Error("it holds devices")
				}
			})
		})
	}
}

// TestRouteOfAllBoxes: there is no room for another route beside it, and so it makes room for what is to come after it.
func TestRouteOfAllBoxes(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		whole := func(r *sessions.ServiceRequest) { r.Recipe.Resources["cuda.device"] = "8" }
		first := w.serves(big(2, whole))
		for to, left := range []accel.Amount{1600, 0} {
			if _, err := w.m.ScaleService(t.Context(), "default", "big", sessions.Scale{To: to, By: "ada"}); err != nil {
				t.Fatal(err)
			}
			w.after(10 * time.Second)
			if w.freeOver() != left {
				t.Errorf("%d hundredths of devices are free with %d replicas", w.freeOver(), to)
			}
		}
		second := w.wantUp("big", 1)[0]
		w.wantStatuses(first, allOver[:len("TERMINATED TERMINATED")])
		w.wantStatuses(second, "RUNNING RUNNING")

		recipe := w.service("big").Recipe
		recipe.Env = map[string]string{"A": "b"}
		if _, err := w.m.UpdateService(t.Context(), "default", "big", sessions.ServiceUpdate{Recipe: &recipe, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatuses(w.wantUp("big", 1)[0], "RUNNING RUNNING") // the old one goes on meanwhile
		if v := w.service("big"); !strings.Contains(v.Sentence, "waits for room for 2 containers") || !strings.Contains(v.Sentence, "with max_unavailable 1 an older route would make room") {
			t.Error(v.Sentence)
		}
		policy := w.service("big").Policy
		policy.MaxUnavailable = 1
		if _, err := w.m.UpdateService(t.Context(), "default", "big", sessions.ServiceUpdate{Policy: &policy, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatuses(second, "TERMINATED TERMINATED")
		w.wantStatuses(w.wantUp("big", 1)[0], "RUNNING RUNNING")
	})
}

func TestRouteScaledDownWhileItStarts(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub2" {
				return fmt.Errorf("%w: for a while", sessions.ErrRuntimeDown)
			}
			return nil
		})
		if _, err := w.m.CreateService(t.Context(), big(3)); err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Second)
		if _, err := w.m.ScaleService(t.Context(), "default", "big", sessions.Scale{To: 0, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatus("big", sessions.ServiceIdle)
		if w.freeOver() != 2400 || len(w.runtime.Running()) != 0 {
			t.Error("something of it is left")
		}
	})
}

// TestRouteWhoseBoxIsLost: it ends whole, and waits until there is room for all of it.
func TestRouteWhoseBoxIsLost(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		var lost atomic.Bool
		w.halt()
		w.away = func(node string) sessions.Vacancy {
			if node == "b" && lost.Load() {
				return sessions.Vacancy{Why: "its box b is silent", Gone: true}
			}
			return sessions.Vacancy{}
		}
		w.boot()
		first := w.serves(big(3))
		lost.Store(true)
		w.m.Look()
		w.after(30 * time.Second)
		w.wantStatuses(first, allOver)
		v := w.service("big")
		if v.Failures != 0 || len(v.Routes) != 1 || !strings.Contains(v.Sentence, "have room for 2 when they are empty") && !strings.Contains(v.Sentence, "room for 3 containers") {
			t.Errorf("%d failures, %s", v.Failures, v.Sentence)
		}
		if n := len(w.runtime.Running()); n != 0 || w.freeOver() != 2400 {
			t.Errorf("%d of it run, and hold devices", n)
		}
		lost.Store(false)
		w.m.Look()
		w.after(30 * time.Second)
		w.wantStatuses(w.wantUp("big", 1)[0], allRun)
	})
}

// TestRouteLeavesABox: that is to be empty, whichever of its containers is there; another one is up before it goes.
func TestRouteLeavesABox(t *testing.T) {
	onBoxes(t, "a b c d", func(t *testing.T, w *world) {
		var drained atomic.Bool
		w.halt()
		w.away = func(node string) sessions.Vacancy {
			if node == "b" && drained.Load() {
				return sessions.Vacancy{Why: "its box b is being drained"}
			}
			return sessions.Vacancy{}
		}
		w.boot()
		req := big(2)
		first := w.serves(req)
		if at := w.places(first); at != "a b" {
			t.Fatalf("on %s", at)
		}
		drained.Store(true)
		w.m.Look()
		w.after(30 * time.Second)
		second := w.wantUp("big", 1)[0]
		if at := w.places(second); second == first || at != "c d" {
			t.Errorf("on %s", at)
		}
		w.wantStatuses(first, "TERMINATED TERMINATED")
	})
}

// TestRouteRollsOver: a new revision comes up beside the old one where there is room, and is whole.
func TestRouteRollsOver(t *testing.T) {
	onBoxes(t, "a b c d", func(t *testing.T, w *world) {
		first := w.serves(big(2))
		recipe := w.service("big").Recipe
		recipe.Env = map[string]string{"A": "b"}
		if _, err := w.m.UpdateService(t.Context(), "default", "big", sessions.ServiceUpdate{Recipe: &recipe, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(30 * time.Second)
		second := w.wantUp("big", 1)[0]
		w.wantStatuses(first, "TERMINATED TERMINATED")
		w.wantStatuses(second, "RUNNING RUNNING")
		recipe.ClusterSize = 1 // and one container again
		if _, err := w.m.UpdateService(t.Context(), "default", "big", sessions.ServiceUpdate{Recipe: &recipe, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(30 * time.Second)
		if v := w.service("big"); v.Recipe.ClusterMode != "" || v.Revision != 3 || len(v.Routes) != 1 || v.Routes[0].Containers != nil || v.HealthyRoutes != 1 {
			t.Errorf("%+v", v)
		}
	})
}

// TestRouteOutlivesItsDaemon: whenever that is killed, the next one has it whole, or begins it anew.
func TestRouteOutlivesItsDaemon(t *testing.T) {
	for writes := 3; writes <= 34; writes++ {
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			onBoxes(t, "a b c", func(t *testing.T, w *world) {
				w.store.failFrom(writes)
				_, err := w.m.CreateService(t.Context(), big(3))
				w.after(100 * time.Millisecond)
				w.halt()
				w.store.failFrom(0)
				w.boot()
				w.after(5 * time.Minute)
				if err != nil {
					return
				}
				w.wantStatus("big", sessions.ServiceHealthy)
				id := w.wantUp("big", 1)[0]
				w.wantStatuses(id, allRun)
				if n := len(w.runtime.Running()); n != 3 || w.freeOver() != 900 {
					t.Errorf("%d run", n)
				}
			})
		})
	}
}

func TestRoutesThatCannotBe(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		for want, change := range map[string]func(*sessions.ServiceRequest){
			"have room for 3 when they are empty": func(r *sessions.ServiceRequest) { r.Recipe.ClusterSize = 4 },
			"on one box":                          func(r *sessions.ServiceRequest) { r.Recipe.ClusterMode = "" },
			"a number from 1 to 64":               func(r *sessions.ServiceRequest) { r.Recipe.ClusterSize = 65 },
			"-1 containers":                       func(r *sessions.ServiceRequest) { r.Recipe.ClusterSize = -1 },
			"cluster mode":                        func(r *sessions.ServiceRequest) { r.Recipe.ClusterMode = "everywhere" },
			"runs in one container":               func(r *sessions.ServiceRequest) { r.Recipe.Variant = "ollama" },
		} {
			_, err := w.m.CreateService(t.Context(), big(3, change))
			if !errors.Is(err, sessions.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		for want, change := range map[string]func(*sessions.ServiceRequest){
			"it fits over 2 boxes: -r cuda.device=8 --cluster-size 2 --cluster-mode multi-node": func(r *sessions.ServiceRequest) {
				r.Recipe.Resources["cuda.device"], r.Recipe.ClusterSize = "16", 0
			},
			"over several boxes they fit: --cluster-mode multi-node": func(r *sessions.ServiceRequest) { r.Recipe.ClusterMode = "" },
			"ask for 8 cuda.device or less": func(r *sessions.ServiceRequest) {
				r.Recipe.Resources["cuda.device"], r.Recipe.ClusterSize = "32", 0
			},
		} {
			_, err := w.m.CreateService(t.Context(), big(3, change))
			var hinted interface{ Hint() string }
			if !errors.As(err, &hinted) || hinted.Hint() != want || !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("want the hint %q: %v", want, err)
			}
		}
		f, err := w.m.ForeseeService(t.Context(), big(3))
		if err != nil || f.Placed != 1 || fmt.Sprint(f.Nodes) != "[a b c]" {
			t.Errorf("%+v %v", f, err)
		}
		w.serves(big(2))
		f, err = w.m.ForeseeService(t.Context(), big(2, func(r *sessions.ServiceRequest) { r.Name = "more" }))
		if err != nil || f.Placed != 0 || len(f.Waits) == 0 || !strings.Contains(f.Waits[0].String(), "waits for room for 2 containers") {
			t.Errorf("%+v %v", f, err)
		}
		w.runtime.NoClusters(errors.New("no network"))
		if _, err := w.m.CreateService(t.Context(), big(2, func(r *sessions.ServiceRequest) { r.Name = "none" })); err == nil || !strings.Contains(err.Error(), "no network") {
			t.Error(err)
		}
	})
}

// TestRanksOfAnEngine: what each rank of an engine that the table knows is told of the others, on either kind of network.
func TestRanksOfAnEngine(t *testing.T) {
	for kind, ports := range map[sessions.NetKind][2]string{sessions.NetVXLAN: {"29500", "sub1:29501,sub2:29501"}, sessions.NetHost: {}} {
		onBoxes(t, "a b c", func(t *testing.T, w *world) {
			w.halt()
			w.nets.Reach = func(node string) (sessions.NetKind, netip.Addr) {
				return kind, netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
			}
			w.boot()
			w.write("not used by llama-cpp")
			req := big(3, func(r *sessions.ServiceRequest) {
				r.Recipe.Variant, r.Recipe.Folder, r.Recipe.Resources = "vllm", "model", map[string]string{"cuda.device": "5"}
				r.Recipe.ResourceOpts = map[string]string{sessions.OptMemoryCheck: "off"}
			})
			route := w.serves(req)
			for _, spec := range w.runtime.Started() {
				net, rank := spec.Cluster.Net, spec.Cluster.Rank
				listen, port := "0.0.0.0", 8000
				if kind == sessions.NetHost { // a port of the session's own, for the variant's may be another route's
					listen, port = "127.0.0.1", net.Ports+128+rank
				}
				if line := strings.Join(spec.Processes[0].Argv, " "); !strings.Contains(line, fmt.Sprintf("--host %s --port %d ", listen, port)) || spec.Processes[0].Port != port {
					t.Errorf("rank %d listens on %d: %s", rank, spec.Processes[0].Port, line)
				}
				if s, err := w.m.Session("default", route); rank == 0 && (err != nil || s.Port() != port || !strings.HasSuffix(s.Address, fmt.Sprintf(":%d", port)) || spec.Env["BACKENDAI_SERVICE_PORTS"] != fmt.Sprintf("inference:http:%d", port)) {
					t.Errorf("routed to %s, %v: %v", s.Address, err, spec.Env["BACKENDAI_SERVICE_PORTS"])
				}
				if kind == sessions.NetHost {
					ports[0] = fmt.Sprint(net.Ports + 64)
				}
				argv := strings.Join(spec.Processes[0].Argv, " ")
				start := fmt.Sprintf("/.palisade/init cluster-start {node_address}=%s {head_address}=main1 -- vllm serve /models", spec.Name)
				end := fmt.Sprintf("--tensor-parallel-size 5 --pipeline-parallel-size 3 --nnodes 3 --node-rank %d --master-addr {head_address} --master-port %s", rank, ports[0])
				if rank > 0 {
					end += " --headless"
				}
				if !strings.HasPrefix(argv, start) || !strings.HasSuffix(argv, end) || spec.Env["VLLM_HOST_IP"] != "{node_address}" {
					t.Errorf("rank %d: %s\n%s", rank, argv, end)
				}
				if last := spec.Processes[len(spec.Processes)-1]; last.Name != "ssh" {
					t.Errorf("rank %d: %+v", rank, last)
				}
			}
		})
	}
}

// TestEnginesOnTheBoxesNetwork: none is placed there without the owner's word, and those that listen on one port are not on one box.
func TestEnginesOnTheBoxesNetwork(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		w.halt()
		var asked atomic.Bool
		w.nets.Reach = func(node string) (sessions.NetKind, netip.Addr) {
			return sessions.NetHost, netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
		}
		w.nets.Unasked = func(string) bool { return !asked.Load() }
		w.boot()
		two := big(2, func(r *sessions.ServiceRequest) { r.Recipe.Resources = map[string]string{"cuda.device": "2"} })
		_, err := w.m.CreateService(t.Context(), two)
		var hint interface{ Hint() string }
		if !errors.Is(err, sessions.ErrInvalid) || !strings.Contains(err.Error(), "sessions on a, b and c share the boxes' network") || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "cluster.session_network: host") {
			t.Errorf("%v", err)
		}
		job := w.create(job("people", of(3, sessions.ClusterRunAll), func(r *sessions.SessionRequest) { r.Cluster.Mode = sessions.ClusterMultiNode }))
		w.after(time.Second)
		w.wantStatuses(job.ID, allRun) // theirs are for people whom one would let log in
		asked.Store(true)
		if at := w.places(w.serves(two)); at != "a b" && at != "b c" && at != "a c" {
			t.Errorf("on %s", at)
		}
		_, err = w.m.CreateService(t.Context(), big(4, func(r *sessions.ServiceRequest) {
			r.Name, r.Recipe.Resources = "more", map[string]string{"cuda.device": "2"}
		}))
		if !errors.Is(err, sessions.ErrInvalid) || !strings.Contains(err.Error(), "all listen on one port") {
			t.Errorf("%v", err)
		}
		f, err := w.m.ForeseeService(t.Context(), big(3, func(r *sessions.ServiceRequest) {
			r.Name, r.Recipe.Resources = "three", map[string]string{"cuda.device": "1"}
		}))
		if err != nil || fmt.Sprint(f.Nodes) != "[a b c]" {
			t.Errorf("%+v %v", f, err)
		}
	})
}

// TestRoutesOfPartsOfDevices: their engines keep to the parts, and each container has all that it is to have.
func TestRoutesOfPartsOfDevices(t *testing.T) {
	onBoxes(t, "a", func(t *testing.T, w *world) {
		w.write("not used by vllm")
		w.serves(big(2, func(r *sessions.ServiceRequest) {
			r.Recipe.Variant, r.Recipe.Folder, r.Recipe.ClusterMode = "vllm", "model", ""
			r.Recipe.Resources = map[string]string{"cuda.shares": "0.5"}
			r.Recipe.ResourceOpts = map[string]string{sessions.OptMemoryCheck: "off"}
		}))
		for _, spec := range w.runtime.Started() {
			argv := strings.Join(spec.Processes[0].Argv, " ")
			if !strings.Contains(argv, "cluster-start") || !strings.Contains(argv, "vllm serve --gpu-memory-utilization 0.5 ") || len(spec.Processes) != 2 || !strings.Contains(argv, "--tensor-parallel-size 1 --pipeline-parallel-size 2") {
				t.Errorf("%s, %d processes", argv, len(spec.Processes))
			}
		}
	})
}

// TestRouteCountsWhole: what a project may have is held against what all containers ask for.
func TestRouteCountsWhole(t *testing.T) {
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		w.m.SetQuotas(sessions.Quotas{Projects: map[string]sessions.Quota{"default": {Slots: accel.Slots{"cuda.device": 900}}}})
		if _, err := w.m.CreateService(t.Context(), big(2)); err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		if v := w.service("big"); !strings.Contains(v.Sentence, "9 cuda.device") || w.freeOver() != 2400 {
			t.Errorf("%s", v.Sentence)
		}
		w.m.SetQuotas(sessions.Quotas{})
		w.after(10 * time.Second)
		w.wantUp("big", 1)
	})
}
