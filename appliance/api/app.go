package api

import "time"

// App is a program of a session that people use with a browser or a client of their own.
type App struct {
	Name     string   `json:"name"`
	Aliases  []string `json:"aliases,omitempty"` // other names that are understood
	Title    string   `json:"title"`
	Protocol string   `json:"protocol"`       // http, tcp
	Port     int      `json:"port,omitempty"` // in the session; left out: the appliance answers itself, as for the terminal
	Source   string   `json:"source"`         // built-in, image, preopen, well-known
	Status   string   `json:"status"`         // running, starting, ready (is started when it is opened), silent (nobody listens)
	Path     string   `json:"path"`           // where the appliance opens it: /sessions/ID/apps/NAME/
	URL      string   `json:"url,omitempty"`  // the same with the host; left out for what does not speak HTTP
	Strip    bool     `json:"strip"`          // it finds itself at /, and not at its path
}

// AppLink lets a browser into an app, once; then it stays for 12 hours.
type AppLink struct {
	App       string    `json:"app"`
	URL       string    `json:"url"`
	Path      string    `json:"path"` // the same without the host
	ExpiresAt time.Time `json:"expires_at"`
}
