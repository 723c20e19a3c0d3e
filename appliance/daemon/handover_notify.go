package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// manager of services that wants to know how the daemon is: systemd, for a unit of Type=notify or notify-reload.
type serviceManager struct {
	socket string // $NOTIFY_SOCKET; "": nobody asks
	log    *slog.Logger
}

// tell sends states, as sd_notify(3) describes them. That it failed is logged: it changes nothing for anybody else.
func (m serviceManager) tell(states ...string) {
	if m.socket == "" {
		return
	}
	name := m.socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, err = conn.Write([]byte(strings.Join(states, "\n")))
		_ = conn.Close()
	}
	if err != nil {
		m.log.Warn("the service manager was not told how the daemon is", "error", err)
	}
}

// reloading is what is to be told when a restart begins: the clock lets systemd see which of two is the later one.
func reloading() []string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return []string{"RELOADING=1"}
	}
	return []string{"RELOADING=1", "MONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)}
}

// mainPID says whom to watch from now on.
func mainPID(pid int) string { return fmt.Sprintf("MAINPID=%d", pid) }
