package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/ssh"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/sessions"
)

// shellDoor is the name of the SSH port's socket for a successor, and for systemd.
const shellDoor = "palisade-ssh"

// enterShells opens the SSH port, or takes it over. Where nobody asked for one and it cannot be had, the appliance does
// without and says so.
func (d *daemon) enterShells(ctx context.Context, l net.Listener) error {
	h := d.house
	var wanted bool
	h.shellListen, wanted = d.Config.SSHListen()
	if l != nil && h.before != nil && h.before.hello.SSH != h.shellListen {
		_ = l.Close()
		l = nil
	}
	if h.shellListen == "" && l == nil {
		return nil
	}
	key, err := ssh.HostKey(filepath.Join(d.Config.Data, "ssh"))
	switch {
	case err == nil && l == nil:
		l, err = listenTCP(ctx, h.shellListen)
	case err != nil && l != nil:
		_ = l.Close() // or who comes would wait for somebody who never answers
	}
	switch {
	case err != nil && wanted:
		return hinted{fmt.Errorf("opening the SSH port (ssh.listen): %w", err), strings.ReplaceAll(adviceOf(err), "--listen", "--ssh-listen")}
	case err != nil:
		h.shellFault = err
		d.Log.Warn("there is no SSH port; the rest works", "error", err, "hint", "choose another one with ssh.listen in the settings, or turn it off there")
		return nil
	}
	h.shells = ssh.New(key, d.Log.With("room", "ssh"))
	h.doors = append(h.doors, &doorway{Listener: l, shell: true})
	return nil
}

// openShells reads the keys that let people in.
func (d *daemon) openShells(ctx context.Context) (err error) {
	d.sshKeys, err = authorized.Open(ctx, d.store, time.Now, d.keyGone)
	return err
}

// keyGone sends away who came with a key, here and in the processes before this one.
func (h *house) keyGone(id string) {
	if h.shells != nil {
		h.shells.Drop(id)
	}
	h.before.keyGone(id)
}

// drainShells tells when nobody is connected by SSH any more, or why that is not waited for.
func (h *house) drainShells(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	if h.shells == nil {
		done <- nil
		return done
	}
	go func() { done <- h.shells.Drain(ctx) }()
	return done
}

// letIn lets people into their sessions by SSH.
func (d *daemon) letIn() {
	if d.shells != nil && !d.follows() {
		d.shells.Enter(ssh.World{
			Sessions: d.manager, Keys: d.sshKeys, Accessed: d.book.Opened,
			May: func(k authorized.Key, s sessions.Session) ssh.Part { return partOf(d.rights(), k, s) },
			Good: func(k authorized.Key) bool {
				_, may := d.rights().Again(admin.ActorOf(k.Owner, k.User, ""))
				return may
			},
		})
	}
}

// partOf is what the owner of an SSH key may with a session.
func partOf(r admin.Rights, k authorized.Key, s sessions.Session) ssh.Part {
	a, may := r.Again(admin.ActorOf(k.Owner, k.User, ""))
	switch {
	case !may || !r.Sees(a, s.Project):
		return ssh.Nothing
	case r.Enters(a, s):
		return ssh.Enters
	}
	return ssh.Looks
}

// shellAddr is where SSH is served; nil: nowhere.
func (h *house) shellAddr() net.Addr {
	for _, d := range h.doors {
		if d.shell {
			return d.Addr()
		}
	}
	return nil
}

// ssh says where and how people come in.
func (d *daemon) ssh() api.SSH {
	addr := d.shellAddr()
	if d.shells == nil || addr == nil {
		out := api.SSH{Reason: "it is turned off (ssh.listen)"}
		if d.shellFault != nil {
			out.Reason = d.shellFault.Error()
		}
		return out
	}
	key := d.shells.HostKey()
	return api.SSH{
		Listen: addr.String(), HostKey: strings.TrimSpace(string(xssh.MarshalAuthorizedKey(key))), Fingerprint: xssh.FingerprintSHA256(key),
	}
}

func (d *daemon) checkShells() api.Check {
	at := d.ssh()
	check := api.Check{Name: "ssh", Status: api.CheckOK, Detail: at.Reason}
	switch {
	case at.Listen != "":
		check.Detail = fmt.Sprintf("sessions are reached at %s, host key %s", at.Listen, at.Fingerprint)
	case d.shellFault != nil:
		check.Status, check.Hint = api.CheckWarning, "choose another port with ssh.listen in the settings or --ssh-listen, then: palisade restart"
	}
	return check
}

// take makes a listener of the one that was left under a name; nil: none was.
func (in *inheritance) take(name string) (l net.Listener, err error) {
	var rest []*os.File
	for _, file := range in.listeners {
		if file.Name() != name {
			rest = append(rest, file)
			continue
		}
		if l != nil {
			_ = l.Close()
		}
		l, err = net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("taking over the socket %s: %w", name, err)
		}
	}
	in.listeners = rest
	return l, nil
}
