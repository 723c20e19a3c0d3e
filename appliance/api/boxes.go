package api

import "time"

// States of a box in a cluster.
const (
	BoxWaiting  = "waiting"  // for somebody to approve it
	BoxIn       = "in"       // it may run what is placed on it
	BoxCordoned = "cordoned" // what runs goes on, nothing new comes
	BoxDraining = "draining" // what runs moves away, or ends
)

// ClusterStatus is how the boxes are that make one appliance.
type ClusterStatus struct {
	ID       string          `json:"id"`
	Leader   string          `json:"leader,omitempty"` // the box that decides; left out: none does now
	Term     int64           `json:"term"`             // of the leader; greater with each one of an era
	Era      int64           `json:"era"`              // of Term: one begins where a cluster is made anew, rescued, or its etcd restored
	Boxes    []ClusterBox    `json:"boxes"`
	Members  []ClusterMember `json:"members"` // of etcd; none where it is the owner's
	Quorum   ClusterQuorum   `json:"quorum"`
	External bool            `json:"external"` // etcd is the owner's
	Next     []string        `json:"next"`     // what is to be done, in sentences, the most urgent first
}

// ClusterBox is one box of a cluster.
type ClusterBox struct {
	Name        string            `json:"name"`
	State       string            `json:"standing"`          // waiting, in, cordoned, draining
	Address     string            `json:"address,omitempty"` // HOST:PORT for other boxes
	Version     string            `json:"version,omitempty"`
	Leads       bool              `json:"leads"`
	Alive       bool              `json:"alive"`
	SilentSince *time.Time        `json:"silent_since,omitempty"` // left out: it is heard of, or never was
	ClockOff    float64           `json:"clock_off"`              // seconds that its clock is before the leader's
	Behind      int64             `json:"behind"`                 // tables of routes that it has not yet, of those that the leader made
	Devices     int               `json:"devices"`
	DevicesFree int               `json:"devices_free"`
	Sessions    int               `json:"sessions"` // that run on it
	Labels      map[string]string `json:"labels,omitempty"`
	AskedFrom   string            `json:"asked_from,omitempty"` // of one that waits: the address that it asks from
	Key         string            `json:"key,omitempty"`        // of one that waits: the id of its key, to be compared with what it says itself
	JoinedAt    *time.Time        `json:"joined_at,omitempty"`
	Certificate *time.Time        `json:"certificate_until,omitempty"`
	Problem     string            `json:"problem,omitempty"`
}

// ClusterMember is one member of the cluster's etcd.
type ClusterMember struct {
	Box     string   `json:"box,omitempty"` // left out: it was let in and has not started
	Learner bool     `json:"learner"`       // it follows and has no vote yet
	Leads   bool     `json:"leads"`
	Answers bool     `json:"answers"`
	Silent  float64  `json:"silent"` // seconds since it answered
	Lag     int64    `json:"lag"`    // entries of the log that it has not yet
	Size    int64    `json:"size"`   // bytes on its disk
	Quota   int64    `json:"quota"`  // bytes that they may be
	Version string   `json:"version,omitempty"`
	Alarms  []string `json:"alarms,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

// ClusterQuorum says how far the members are from standing still.
type ClusterQuorum struct {
	Votes   int    `json:"votes"`
	Answer  int    `json:"answer"`
	Needed  int    `json:"needed"`
	MayFail int    `json:"may_fail"` // of those that answer; -1: too few answer already
	Words   string `json:"words"`
	Agreed  bool   `json:"agreed"` // false: it is what one member remembers
}

// States of the box that is asked.
const (
	ClusterAlone   = "alone"
	ClusterJoining = "joining"
	ClusterIn      = "in"
)

// ClusterSelf is the box that is asked, as it sees itself. It answers without a leader too.
type ClusterSelf struct {
	State   string     `json:"state"` // alone, joining, in
	Name    string     `json:"name,omitempty"`
	Cluster string     `json:"cluster,omitempty"`
	Address string     `json:"address,omitempty"` // HOST:PORT for other boxes
	Leads   bool       `json:"leads"`
	Leader  string     `json:"leader,omitempty"` // who leads, or led last
	Asks    string     `json:"asks,omitempty"`   // joining: the box that is asked to let this one in
	Key     string     `json:"key,omitempty"`    // joining: the id of this box's key
	Waiting bool       `json:"waiting"`          // joining: it has asked, and somebody has to approve it
	Since   *time.Time `json:"since,omitempty"`
	Problem string     `json:"problem,omitempty"` // why it is not as it should be
	Hint    string     `json:"hint,omitempty"`
}

// ClusterInit makes a cluster of which this box is the first.
type ClusterInit struct {
	Name    string `json:"name,omitempty"`    // of this box; default its host name
	Address string `json:"address,omitempty"` // HOST:PORT at which others reach it; default what the settings say
}

// ClusterJoin has this box join a cluster.
type ClusterJoin struct {
	URL     string `json:"url"` // of any box of it: https://HOST:PORT
	Token   string `json:"token"`
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
}

// ClusterLeave has this box leave its cluster.
type ClusterLeave struct {
	Force bool `json:"force,omitempty"` // though the others cannot be told, or sessions run here
}

// ClusterTokenCreate asks for what boxes join with.
type ClusterTokenCreate struct {
	Approve bool `json:"approve,omitempty"` // who joins with it is in at once
	Uses    int  `json:"uses,omitempty"`    // how many boxes may join with it; default 1
	Seconds int  `json:"seconds,omitempty"` // for how long; default an hour
}

// ClusterToken is one that can still be used.
type ClusterToken struct {
	ID        string    `json:"id"`
	Approve   bool      `json:"approve"`
	Uses      int       `json:"uses"` // left
	ExpiresAt time.Time `json:"expires_at"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
}

// ClusterTokenIssued is a new one, with what is shown only once.
type ClusterTokenIssued struct {
	ID        string    `json:"id"`
	Approve   bool      `json:"approve"`
	Uses      int       `json:"uses"`
	ExpiresAt time.Time `json:"expires_at"`
	Token     string    `json:"token"`
	URL       string    `json:"url"` // of the box that is asked; any other of the cluster does too
}

// ClusterBoxUpdate changes a box. What is left out stays.
type ClusterBoxUpdate struct {
	State  string             `json:"standing,omitempty"` // in, cordoned, draining
	Labels map[string]*string `json:"labels,omitempty"`   // null takes one away
}
