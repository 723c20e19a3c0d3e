package console

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// startForm is what the page shows on which sessions are started.
type startForm struct {
	Images  []imageChoice
	Host    bool // there are no images: sessions run the box's own programs
	Folders []api.Folder
	Slots   []slotChoice
	Ahead   int // sessions that wait
	Rows    []int
	From    startValues
}

// imageChoice is an image that a session can start from.
type imageChoice struct {
	Name  string
	Short string // as people call it
	About string // what is in it, of those that come with the appliance
	Size  int64
	On    bool
}

// slotChoice is a kind of accelerator that can be asked for.
type slotChoice struct {
	Slot, Name  string
	Free, Total int
	Value       string
}

// startValues are what the form has at first: those of another session, where one is named.
type startValues struct {
	Type, Image, Command, CPU, Mem, Ports, Environ, Size, Run, Mode, Priority string
	Timeout, Retries, Idle, Life                                              string
	Preemptible                                                               bool
	Mounts                                                                    []mountValue
}

type mountValue struct {
	Index          int
	Folder, Target string
	ReadOnly       bool
}

// mountRows is how many folders the form has room for.
const mountRows = 6

// shipped are the images that come with the appliance, of which it is known what is in them.
var shipped = []string{"base", "pytorch-cpu", "code"}

func newSession(v *View) (any, error) {
	f := startForm{From: startValues{Type: "interactive", CPU: "1", Mem: "1g"}}
	if err := f.from(v); err != nil {
		return nil, err
	}
	for i := range mountRows {
		if i >= len(f.From.Mounts) {
			f.From.Mounts = append(f.From.Mounts, mountValue{Index: i})
		}
	}
	images, err := v.API.Images(v.Context())
	switch {
	case errors.Is(err, api.KindError(api.KindNotSupported)):
		f.Host = true
	case err != nil:
		return nil, err
	}
	f.Images = imageChoices(v, images, &f.From)
	if f.Folders, err = v.API.Folders(v.Context()); err != nil {
		return nil, err
	}
	nodes, err := v.API.Nodes(v.Context())
	if err != nil {
		return nil, err
	}
	f.Slots = slotChoices(nodes)
	return f, nil
}

// from takes the values of a session that another one is to be like.
func (f *startForm) from(v *View) error {
	ref := v.Parameter("from")
	if ref == "" {
		return nil
	}
	s, err := v.API.Session(v.Context(), ref)
	if err != nil {
		return err
	}
	f.From = startValues{
		Type: s.Type, Image: s.Image, Command: s.StartupCommand, CPU: s.Resources["cpu"], Mem: s.Resources["mem"], Priority: strconv.Itoa(s.Priority), Preemptible: s.Preemptible,
	}
	if s.Cluster != nil {
		f.From.Size, f.From.Run, f.From.Mode = strconv.Itoa(s.Cluster.Size), s.Cluster.Run, s.Cluster.Mode
	}
	if s.Timeout > 0 {
		f.From.Timeout = strconv.FormatFloat(s.Timeout, 'f', -1, 64) + "s"
	}
	if s.Retries > 0 {
		f.From.Retries = strconv.Itoa(s.Retries)
	}
	var ports []string
	for _, p := range s.PreopenPorts {
		ports = append(ports, strconv.Itoa(p))
	}
	f.From.Ports = strings.Join(ports, ", ")
	for i, m := range s.Mounts {
		if i < mountRows {
			f.From.Mounts = append(f.From.Mounts, mountValue{i, m.Folder, m.Target, m.ReadOnly})
		}
	}
	return nil
}

// imageChoices are those that come with the appliance first, then the others by name. One is chosen.
func imageChoices(v *View, images []api.Image, from *startValues) (out []imageChoice) {
	for _, i := range images {
		one := imageChoice{Name: i.Name, Short: strings.TrimPrefix(i.Name, "docker.io/"), Size: i.Size}
		for _, name := range shipped {
			if bare, _, _ := strings.Cut(one.Short, ":"); bare == "palisade/"+name {
				one.About = v.Say("start.images." + strings.ReplaceAll(name, "-", "_"))
			}
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b imageChoice) int {
		if (a.About == "") != (b.About == "") {
			if a.About != "" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Short, b.Short)
	})
	on := slices.IndexFunc(out, func(i imageChoice) bool { return i.Name == from.Image || i.Short == from.Image })
	if on < 0 && from.Image == "" && len(out) > 0 {
		on = 0
	}
	if on >= 0 {
		out[on].On, from.Image = true, ""
	}
	return out
}

// slotChoices are the kinds of accelerators of all boxes together.
func slotChoices(nodes []api.Node) []slotChoice {
	by := map[string]*slotChoice{}
	for _, n := range nodes {
		for _, d := range n.Devices {
			one := by[d.Slot]
			if one == nil {
				one = &slotChoice{Slot: d.Slot, Name: d.Name}
				by[d.Slot] = one
			}
			one.Free, one.Total = one.Free+d.Free, one.Total+d.Total
		}
	}
	var out []slotChoice
	for _, slot := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[slot])
	}
	return out
}

func startSession(v *View) (Outcome, error) {
	in, err := readStart(v)
	if err != nil {
		return Outcome{}, err
	}
	made, err := v.API.CreateSession(v.Context(), in)
	if err != nil {
		return Outcome{}, onFields(err)
	}
	if len(made) > 1 {
		return Outcome{To: "/sessions?state=all&q=" + made[0].ArrayID}, nil
	}
	return Outcome{To: sessionPath(made[0].ID)}, nil
}

// forecast is what would come of a session if the form were sent now.
type forecast struct {
	api.SessionCheck
	Problem *api.Problem
	Nodes   []api.Node
}

// checkStart says so while one types. What is wrong is no error here: the form is not finished.
func checkStart(v *View) (Outcome, error) {
	var f forecast
	in, err := readStart(v)
	if err == nil {
		if f.SessionCheck, err = v.API.CheckSession(v.Context(), in); err != nil {
			err = onFields(err)
		}
	}
	if err != nil {
		f.Problem = problemOf(err)
	}
	if nodes, err := v.API.Nodes(v.Context()); err == nil {
		f.Nodes = nodes
	}
	return Outcome{Fragment: "sessions-forecast", Data: f}, nil
}

// onFields names the fields as the form has them: all variables stand in one, and so do all ports.
func onFields(err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return err
	}
	said := *p
	said.Errors = slices.Clone(p.Errors)
	for i, e := range said.Errors {
		if name, is := strings.CutPrefix(e.Field, "environ."); is {
			said.Errors[i].Field, said.Errors[i].Message = "environ", name+": "+e.Message
		}
		for _, field := range []string{"preopen_ports", "resources", "depends_on"} {
			if strings.HasPrefix(e.Field, field) {
				said.Errors[i].Field = field
			}
		}
	}
	return &said
}

// slotName is what an accelerator is asked for as.
var slotName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// stays is what an interactive session does when its first lines are done: it is there, until it is ended.
const stays = "\ntrap 'exit 0' TERM INT HUP; while :; do sleep 86400 & wait $!; done"

// readStart reads the form.
func readStart(v *View) (api.SessionCreate, error) {
	var wrong fieldErrors
	in := api.SessionCreate{
		Name: strings.TrimSpace(v.Field("name")), Type: v.Field("type"), Image: v.Field("image"), Resources: map[string]string{},
		Preemptible: v.Field("preemptible") != "", Array: strings.TrimSpace(v.Field("array")),
	}
	if other := strings.TrimSpace(v.Field("other_image")); in.Image == "" || in.Image == "other" {
		in.Image = other
	}
	if in.Type == "batch" {
		in.StartupCommand = strings.ReplaceAll(v.Field("startup_command"), "\r\n", "\n")
		in.Timeout = wrong.seconds(v, "timeout")
		if text := v.Field("retries"); text != "" {
			if n := wrong.whole(v, "retries", text, 0, 100); n != nil {
				in.Retries = *n
			}
		}
	} else {
		if first := strings.TrimSpace(strings.ReplaceAll(v.Field("bootstrap"), "\r\n", "\n")); first != "" {
			in.StartupCommand = first + stays
		}
		in.Array = ""
		in.IdleTimeout, in.MaxLifetime = wrong.seconds(v, "idle_timeout"), wrong.seconds(v, "max_lifetime")
	}
	for field, values := range v.PostForm {
		name, is := strings.CutPrefix(field, "slot:")
		if field == "cpu" || field == "mem" {
			name, is = field, true
		}
		if text := strings.TrimSpace(values[0]); is && slotName.MatchString(name) && text != "" && text != "0" {
			in.Resources[name] = text
		}
	}
	if text := strings.TrimSpace(v.Field("shmem")); text != "" {
		in.ResourceOpts = map[string]string{"shmem": text}
	}
	in.Environ = wrong.pairs(v, "environ")
	in.PreopenPorts = wrong.ports(v, "preopen_ports")
	if text := strings.TrimSpace(v.Field("priority")); text != "" {
		in.Priority = wrong.whole(v, "priority", text, 0, 100)
	}
	if text := strings.TrimSpace(v.Field("cluster_size")); text != "" && text != "1" {
		if n := wrong.whole(v, "cluster_size", text, 1, 64); n != nil {
			in.ClusterSize, in.ClusterRun, in.ClusterMode = *n, v.Field("cluster_run"), v.Field("cluster_mode")
		}
	}
	in.StartsAt = wrong.moment(v, "starts_at")
	in.DependsOn = append(in.DependsOn, strings.FieldsFunc(v.Field("depends_on"), func(r rune) bool { return r == ',' || r == ' ' })...)
	for i := range mountRows {
		at := func(name string) string { return strings.TrimSpace(v.Field(fmt.Sprintf("mounts[%d].%s", i, name))) }
		if at("folder") != "" {
			in.Mounts = append(in.Mounts, api.Mount{Folder: at("folder"), Target: at("target"), ReadOnly: at("mode") == "ro"})
		}
	}
	return in, wrong.err(v)
}

// seconds reads a length of time; 0 where there is none.
func (f *fieldErrors) seconds(v *View, field string) float64 {
	if n := f.length(v, field, v.Field(field)); n != nil {
		return *n
	}
	return 0
}

// pairs reads NAME=VALUE, one a line.
func (f *fieldErrors) pairs(v *View, field string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(v.Field(field)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(name) == "" {
			f.add(field, v.Say("forms.pair"))
			return nil
		}
		out[strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))] = value
	}
	return out
}

// ports reads numbers of ports.
func (f *fieldErrors) ports(v *View, field string) (out []int) {
	for _, word := range strings.FieldsFunc(v.Field(field), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 65535 {
			f.add(field, v.Say("forms.ports"))
			return nil
		}
		out = append(out, n)
	}
	return out
}

// moment reads a time: as our script sends it, or as a browser without it does, in UTC.
func (f *fieldErrors) moment(v *View, field string) *time.Time {
	text := strings.TrimSpace(v.Field(field))
	if text == "" {
		return nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(form, text); err == nil {
			return &at
		}
	}
	f.add(field, v.Say("forms.moment"))
	return nil
}
