// Package inside is what Palisade's own program does inside a session beside being its first process: the things that
// must work whatever the session's image brings. It runs as the session's user
// like any other command, and knows nothing of the appliance.
package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions/clusterssh"
	"github.com/palisade-run/palisade/sessions/sftp"
)

// Main does what args ask, and returns the exit code; false: they are none of its own.
//
//	shell          a log-in shell, in the user's home
//	shell LINE     the user's shell, to run a line; where there is none, the program that the line names
//	sftp           files over stdin and stdout: the subsystem of SSH
//	connect PATH   stdin and stdout to a unix socket of the session
//	cluster-start [ADDRESS]... -- COMMAND...   a program of one of several containers, when all run and the addresses answer
//	cluster-ssh DIR PORT   an SSH server for the other containers of the session, which share DIR, until SIGTERM
func Main(args []string) (code int, known bool) {
	if len(args) == 0 {
		return 0, false
	}
	mode := args[0]
	var err error
	switch {
	case mode == "shell" && len(args) <= 2:
		passwd, _ := os.ReadFile("/etc/passwd") // an image of one program has none
		if err = become(strings.Join(args[1:], ""), string(passwd)); err != nil {
			fmt.Fprintf(os.Stderr, "palisade: %v\n", err)
			return 127, true
		}
	case mode == "sftp" && len(args) == 1:
		if home := os.Getenv("HOME"); home != "" {
			_ = os.Chdir(home) // one that may not be entered is left
		}
		err = sftp.Serve(os.Stdin, os.Stdout)
	case mode == "connect" && len(args) == 2:
		err = connect(args[1], os.Stdin, os.Stdout)
	case mode == "cluster-ssh" && len(args) == 3:
		port, wrong := strconv.Atoi(args[2])
		if wrong != nil {
			return 2, true
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		clusterssh.Main(ctx, args[1], "/proc/self/exe", port)
	case mode == "cluster-start":
		if err = startTogether(args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "palisade: %v\n", err)
			return 127, true
		}
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "palisade: %s: %v\n", mode, err)
		return 1, true
	}
	return 0, true
}

// connect joins a unix socket with in and out, until both directions have ended.
func connect(path string, in io.Reader, out io.Writer) error {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "unix", path)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
		return fmt.Errorf("connecting to %s: %w", path, err)
	}
	defer conn.Close()
	go func() { // ends with the program where in does not
		_, _ = io.Copy(conn, in)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(out, conn)
	return err
}
