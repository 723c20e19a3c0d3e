package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What a slow wire does, each way.
const (
	slowDelay = 50 * time.Millisecond
	slowLoss  = 0.05
)

// slowWire is a wire whose frames come late, and not all of them. Kernels without netem have none: frames are taken from one end and put
// on another one here.
type slowWire struct {
	ends    [2]int
	over    atomic.Bool
	all     sync.WaitGroup
	carried atomic.Int64
	lost    atomic.Int64
}

// slowly has what goes over the wire, either way, take slowDelay, and lose slowLoss of its frames.
func (p *place) slowly(is bool) {
	t, near, far := p.net.t, fmt.Sprintf("n%d-%d", os.Getpid()%100000, p.number), fmt.Sprintf("f%d-%d", os.Getpid()%100000, p.number)
	t.Helper()
	if !is {
		p.slow.end()
		t.Logf("the slow wire of %s has carried %d frames and lost %d", p.name, p.slow.carried.Load(), p.slow.lost.Load())
		p.slow = nil
		ip(t, "link", "del", near)
		ip(t, "link", "set", p.wire, "master", p.net.bridge)
		return
	}
	ip(t, "link", "add", near, "type", "veth", "peer", "name", far)
	ip(t, "link", "set", far, "master", p.net.bridge, "up")
	ip(t, "link", "set", near, "up")
	ip(t, "link", "set", p.wire, "nomaster")
	p.slow = &slowWire{}
	for i, name := range []string{p.wire, near} {
		end, err := frames(name)
		if err != nil {
			t.Fatal(err)
		}
		p.slow.ends[i] = end
	}
	p.slow.all.Go(func() { p.slow.carry(0, 1) })
	p.slow.all.Go(func() { p.slow.carry(1, 0) })
}

// frames opens an interface for all frames that come to it, each behind what the kernel has left undone of its checksum and its parts.
func frames(name string) (fd int, err error) {
	on, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	const protocol = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol); err != nil {
		return 0, err
	}
	second := unix.Timeval{Sec: 1}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: on.Index}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(on.Index), Type: unix.PACKET_MR_PROMISC}))
	return fd, err
}

// carry takes frames from one end to the other, in their order.
func (w *slowWire) carry(from, to int) {
	type frame struct {
		due  time.Time
		text []byte
	}
	way := make(chan frame, 1<<14)
	w.all.Go(func() {
		for f := range way {
			time.Sleep(time.Until(f.due))
			_, _ = unix.Write(w.ends[to], f.text)
		}
	})
	defer close(way)
	for buffer := make([]byte, 1<<17); !w.over.Load(); {
		n, err := unix.Read(w.ends[from], buffer)
		if err != nil || n < 10 {
			continue
		}
		w.carried.Add(1)
		if rand.Float64() < slowLoss {
			w.lost.Add(1)
			continue
		}
		select {
		case way <- frame{time.Now().Add(slowDelay), append([]byte(nil), buffer[:n]...)}:
		default: // as a switch does whose buffer is full
			w.lost.Add(1)
		}
	}
}

func (w *slowWire) end() {
	w.over.Store(true)
	w.all.Wait()
	for _, fd := range w.ends {
		_ = unix.Close(fd)
	}
}
