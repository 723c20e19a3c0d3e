package sessions

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/palisade-run/palisade/variants"
)

// Kinds of errors of a Runtime.
var (
	// ErrNoInstance: the runtime knows no instance of that id (any more).
	ErrNoInstance = errors.New("no such instance")
	// ErrInstanceExists: Start was called twice for one id.
	ErrInstanceExists = errors.New("instance exists")
	// ErrNotSupported: this runtime cannot do that on this box.
	ErrNotSupported = errors.New("not supported by this runtime")
	// ErrNoImage: no image of that name is here, or in its registry.
	ErrNoImage = errors.New("no such image")
	// ErrImageDenied: the registry wants a log-in, or refuses the one that it was given.
	ErrImageDenied = errors.New("the registry denies access")
	// ErrImagePlatform: the image is there, but not for this box's processor.
	ErrImagePlatform = errors.New("the image is not for this processor")
	// ErrAskerGone is the cause of a context whose owner waits no more for what it asked for, which is to go on: see Resumer. A
	// Resumer says so, too, where who asks decides no more: nothing is known of the session by it.
	ErrAskerGone = errors.New("who asked for it decides no more")
	// ErrRuntimeDown: the runtime's own daemon cannot be reached for the moment. What runs goes on.
	ErrRuntimeDown = errors.New("the runtime's daemon cannot be reached")
)

// Runtime runs sessions' instances. Every method is safe for concurrent use, by different ids and by
// the same. An instance outlives the program that started it: List finds it again. All that a
// runtime must know after a crash it keeps with the instance itself, never in the daemon's memory.
//
// Every runtime passes sessions/runtimetest.
type Runtime interface {
	// Pull makes image ready to start. It calls progress, which may be nil, from one goroutine.
	// Pulling what is there already returns at once. An error says what to do about it.
	Pull(ctx context.Context, image string, progress func(Progress)) error

	// Start starts an instance and returns when its first process has been started, or why it was
	// not; then nothing of it is left, except its log. Pre-start actions run inside the instance after
	// Start has returned: one that fails ends the instance with ExitStartFailed and a Message that
	// says which one and why. ErrInstanceExists if there is one of that id, running or ended.
	Start(ctx context.Context, spec Spec) (Instance, error)

	// Wait returns when the instance has ended, with how; at once when it has ended before. Several may
	// wait. ErrNoInstance if there is none; ctx's error when ctx ends first, which stops nothing.
	Wait(ctx context.Context, id string) (Exit, error)

	// Stop sends SIGTERM, waits up to grace, sends SIGKILL to everything that the instance has
	// started, and returns when all of it is gone. It is idempotent; nil for an instance that has ended;
	// ErrNoInstance if there is none. When ctx ends during the grace, SIGKILL follows at once.
	Stop(ctx context.Context, id string, grace time.Duration) error

	// Remove forgets an ended instance: its log, address, scratch files. Idempotent: nil when there is
	// none. An instance that still runs is an error.
	Remove(ctx context.Context, id string) error

	// List returns every instance, running or ended, that this runtime keeps under its root.
	List(ctx context.Context) ([]Instance, error)
}

// Fetcher is a Runtime that must know for whom it fetches, since it starts sessions on several boxes.
type Fetcher interface {
	// Fetch is Pull for a session, which has its place: on the box where that is.
	Fetch(ctx context.Context, s Session, progress func(Progress)) error
}

// Resumer is a Runtime whose starts go on though who asked for them is gone: List has those as instances that run and have not
// been started at any time yet, without an address.
type Resumer interface {
	// Resume returns as Start does that was asked for such an instance; ErrNoInstance where it is not wanted any more.
	// Where ctx ends with ErrAskerGone as its cause, the start goes on for the next one who asks; else it is taken back. The same
	// holds of Start; and a Stop goes on with its grace then.
	Resume(ctx context.Context, id string) (Instance, error)
}

// ImageChecker is a Runtime that can tell at once that it will never run an image.
type ImageChecker interface {
	CheckImage(image string) error
}

// Images is the part of a runtime that keeps images, where it does.
type Images interface {
	// Images lists what is kept, by name.
	Images(ctx context.Context) ([]Image, error)
	// Import takes in an archive (OCI layout or docker save, plain or compressed) and returns what came of it.
	Import(ctx context.Context, archive io.Reader) ([]Image, error)
	// Export writes an image as an OCI archive that docker load takes too.
	Export(ctx context.Context, ref string, w io.Writer) error
	// RemoveImage forgets a name; what no other name and no session needs is deleted. ErrNoImage if there is none.
	RemoveImage(ctx context.Context, ref string) error
}

// Image is one image that a runtime keeps.
type Image struct {
	Name      string            `json:"name"`   // docker.io/library/busybox:latest
	Digest    string            `json:"digest"` // sha256:...
	Size      int64             `json:"size"`   // bytes of its layers, compressed
	CreatedAt time.Time         `json:"created_at"`
	Platforms []string          `json:"platforms"` // linux/amd64
	Labels    map[string]string `json:"labels,omitempty"`
}

// Observer is the part of a runtime that shows what an instance does. All runtimes have it.
type Observer interface {
	// Inspect returns what an instance is now. Its PID may differ from what Start returned: pre-start
	// actions come before the engine.
	Inspect(ctx context.Context, id string) (Instance, error)
	// Logs returns what the instance has written, stdout and stderr together in order, oldest
	// first. It works for ended instances, until Remove.
	Logs(ctx context.Context, id string, opts LogOptions) (io.ReadCloser, error)
	// Stats samples what a running instance uses now.
	Stats(ctx context.Context, id string) (Stats, error)
	// Exec runs a command inside a running instance and returns how it ended. When ctx ends it is killed; on a
	// terminal it gets SIGHUP first, and a moment.
	Exec(ctx context.Context, id string, cmd ExecSpec) (Exit, error)
}

// Progress of a pull.
type Progress struct {
	Done, Total int64  // bytes; Total is 0 while unknown
	Message     string // "layer 3 of 7"
}

// Spec is what a runtime is told to run. It must be serialisable: runtimes keep it with the instance.
type Spec struct {
	ID        string             `json:"id"`     // the session's id; never used twice
	Name      string             `json:"name"`   // host name inside the session
	Labels    map[string]string  `json:"labels"` // returned by List
	Image     string             `json:"image"`
	Processes []variants.Process `json:"processes"` // at least one; the instance ends when the first ends, or any other fails
	Env       map[string]string  `json:"env"`
	Mounts    []Mount            `json:"mounts"`
	Scratch   []string           `json:"scratch"` // directories inside the session: empty, writable, gone with Remove
	Limits    Limits             `json:"limits"`
	Devices   []string           `json:"devices,omitempty"` // CDI names, or device files by path
	Cluster   *SpecCluster       `json:"cluster,omitempty"` // nil: it is the only container of its session
}

// Mount makes a directory of the box visible in the session.
type Mount struct {
	Source   string `json:"source"` // absolute, on the box; must exist
	Target   string `json:"target"` // absolute, in the session
	ReadOnly bool   `json:"read_only"`
	// Within is the directory in which Source lies where people may write between the two. A runtime follows no link on the
	// way from there to Source: it could have been put there since somebody looked. "": Source is as it is.
	Within string `json:"within,omitempty"`
	// Folder is the folder in which Source is, where not all boxes have it: zero on a box alone. Runtimes need not know.
	Folder MountedFolder `json:"folder,omitzero"`
}

// MountedFolder is a folder as another box needs it to be known, to bring what is in it.
type MountedFolder struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Sub    string `json:"sub,omitempty"`    // the directory in it that is mounted; "": all of it
	Home   string `json:"home"`             // the box where it is written to
	Sealed bool   `json:"sealed,omitempty"` // its files never change
}

// Limits of one instance; 0 means none.
type Limits struct {
	MilliCPU int64 `json:"milli_cpu,omitempty"` // thousandths of a core
	Memory   int64 `json:"memory,omitempty"`    // bytes
	Shm      int64 `json:"shm,omitempty"`       // bytes of /dev/shm
	Pids     int64 `json:"pids,omitempty"`      // processes and threads
	// CPUs restricts it to cores: "0-15,32-47"; "" any.
	CPUs string `json:"cpus,omitempty"`
}

// Instance is a runtime's view of one session.
type Instance struct {
	ID        string
	Labels    map[string]string
	Address   string // IP at which the session's ports answer, as the box sees it
	PID       int    // of the first process, as the box sees it; 0 when not running
	StartedAt time.Time
	Running   bool
	Exit      *Exit // set when not running
}

// ExitReason says how an instance ended.
type ExitReason string

// The exit reasons.
const (
	ExitCompleted   ExitReason = "completed" // exit code 0
	ExitFailed      ExitReason = "failed"    // exit code other than 0
	ExitStopped     ExitReason = "stopped"   // by Stop, within the grace
	ExitKilled      ExitReason = "killed"    // by SIGKILL from Stop or from elsewhere
	ExitCrashed     ExitReason = "crashed"   // by another signal: SIGSEGV, SIGABRT, ...
	ExitOutOfMemory ExitReason = "out-of-memory"
	ExitStartFailed ExitReason = "start-failed" // pre-start action, command not found, mount missing
	ExitUnknown     ExitReason = "unknown"      // ended while nobody watched, or the box restarted
	ExitTimedOut    ExitReason = "timed-out"    // it had run for as long as its owner lets it; no runtime says so
)

// Exit is how an instance ended.
type Exit struct {
	Reason     ExitReason `json:"reason"`
	Code       int        `json:"code"`             // 128+n for signal n; -1 unknown; -2 timed out
	Signal     string     `json:"signal,omitempty"` // SIGKILL, ...
	Message    string     `json:"message"`          // one sentence for people, with the last words of the log where they help
	FinishedAt time.Time  `json:"finished_at"`
}

// LogOptions chooses a part of a log.
type LogOptions struct {
	Follow bool // go on until the instance ends or ctx does
	Tail   int  // last lines only; 0 means all that is kept
}

// Stats is a sample of what an instance uses. What a box cannot tell is -1.
type Stats struct {
	At      time.Time     `json:"at"`
	CPUTime time.Duration `json:"cpu_time"` // since the start
	Memory  int64         `json:"memory"`   // bytes, without page cache that can be dropped
	Pids    int64         `json:"pids"`
	RxBytes int64         `json:"rx_bytes"`
	TxBytes int64         `json:"tx_bytes"`
	// Of disks, since the start. Where the box tells only of processes that live, what ended ones did goes away again.
	ReadBytes  int64 `json:"read_bytes"`
	WriteBytes int64 `json:"write_bytes"`
}

// ExecSpec is one command in a running instance.
type ExecSpec struct {
	Argv           []string
	Env            map[string]string
	WorkDir        string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       *Terminal // nil: no terminal. With one Stderr is not used
	// Signals are numbers of signals, each sent to the command's process group when it comes; may be nil.
	Signals <-chan int
}

// Terminal is what a command on a terminal sees of it.
type Terminal struct {
	Size   Window
	Resize <-chan Window // may be nil
	Type   string        // TERM; "" is xterm-256color
}

// Window is a terminal's size in characters.
type Window struct {
	Rows, Columns uint16
}
