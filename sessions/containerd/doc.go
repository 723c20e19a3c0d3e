// Package containerd is the runtime that runs sessions as containerd containers. It passes the same
// conformance suite (sessions/runtimetest) as every other runtime.
package containerd
