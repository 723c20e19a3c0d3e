package api

import "time"

// Image is one that the box keeps.
type Image struct {
	Name      string    `json:"name"`   // docker.io/library/busybox:latest
	Digest    string    `json:"digest"` // sha256:...
	Size      int64     `json:"size"`   // bytes of its layers, compressed
	CreatedAt time.Time `json:"created_at"`
	Platforms []string  `json:"platforms"` // linux/amd64
	UsedBy    []string  `json:"used_by"`   // services and sessions that need it, 20 and how many more; empty for none
}

// ImagePull asks for an image.
type ImagePull struct {
	Image string `json:"image"` // busybox, ghcr.io/ggml-org/llama.cpp:server
}

// PullProgress is one line of a pull's answer. The last one has Image, or Problem.
type PullProgress struct {
	Done    int64    `json:"done"`    // bytes
	Total   int64    `json:"total"`   // bytes; 0 while unknown
	Message string   `json:"message"` // layer 3 of 7
	Image   *Image   `json:"image,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// ImagePrune says which images may go.
type ImagePrune struct {
	OlderThan float64 `json:"older_than,omitempty"` // seconds since they were pulled or imported; default 0
}

// ImagesPruned is what went.
type ImagesPruned struct {
	Removed []Image `json:"removed"`
}

// Registry says that a log-in for an image registry is kept. Its password is never shown.
type Registry struct {
	Host      string    `json:"host"`
	User      string    `json:"user"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// RegistryLogIn is a log-in that is to be kept.
type RegistryLogIn struct {
	User     string `json:"user"` // empty: the password is an identity token
	Password string `json:"password"`
}
