package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/accel/mps"
	"github.com/palisade-run/palisade/appliance/config"
)

// Whoever is started first after a boot of the box is held to his part of a device like all others.
func TestSharingIsThereBeforeAnybodyIsStarted(t *testing.T) {
	program, err := filepath.Abs("../../accel/mps/testdata/nvidia-cuda-mps-control")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	service, err := mps.New(mps.Config{Dir: dir, Program: program, Elsewhere: filepath.Join(dir, "elsewhere"), Shm: "/mps-shm"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, err := os.ReadFile(filepath.Join(dir, "pipe", "nvidia-cuda-mps-control.pid"))
		if pid, _ := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	p := &pool{mps: service, log: slog.New(slog.DiscardHandler)}
	p.share(t.Context())
	grant, err := service.Grant([]accel.Share{{Device: "GPU-0", Slot: "cuda.shares", Amount: 50, Memory: 40 << 30}})
	if err != nil || !grant.Enforced {
		t.Errorf("the first session is not held to its part: %+v, %v", grant, err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if service.Answers(t.Context()) == "" {
		t.Error("the service ended with the daemon, and sessions with it")
	}
}

func TestQuotasOfTheSettings(t *testing.T) {
	got, err := quotas(config.QueueLimits{
		Projects: map[string]map[string]string{"*": {"sessions": "3"}, "lab": {"cuda.device": "4"}},
		Users:    map[string]map[string]string{"ada": {"mem": "1g", "cuda.device": "0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Project.Sessions != 3 || got.Projects["lab"].Slots["cuda.device"] != 400 || got.Projects["lab"].Sessions != 0 {
		t.Errorf("projects: %+v", got)
	}
	if none, bounded := got.Users["ada"].Slots["cuda.device"]; !bounded || none != 0 || got.Users["ada"].Slots[accel.SlotMem] != 1<<30 {
		t.Errorf("users: %+v", got)
	}
	if _, has := got.Projects["*"]; has || got.User.Sessions != 0 || len(got.User.Slots) > 0 {
		t.Errorf("the rest: %+v", got)
	}
	if _, err := quotas(config.QueueLimits{Users: map[string]map[string]string{"ada": {"gpu": "1"}}}); err == nil {
		t.Error("an unknown resource is limited")
	}
}
