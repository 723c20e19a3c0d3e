package console

import (
	"slices"
	"strconv"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
)

// servicesPages are the list of services, one service from all sides, and the way to a new one.
func servicesPages() []Page {
	return slices.Concat([]Page{
		{Pattern: "/services", Name: "services/list", Section: "services", Data: serviceList},
		newServicePage(),
	}, servicePages())
}

func servicesActions() []Action {
	return append(serviceActions(), Action{Pattern: "/services", Do: createService}, Action{Pattern: "/services/new/check", Do: foreseeService})
}

// servicesPerPage is how many of them a page has.
const servicesPerPage = 50

// serviceStates are the states in which services can be, in the order in which they are offered.
func serviceStates() []string {
	return []string{"HEALTHY", "DEGRADED", "UNHEALTHY", "PROVISIONING", "IDLE", "DESTROYING"}
}

// listedServices is what the list shows.
type listedServices struct {
	api.ServiceOverview
	Search, Status string
	Sort           string
	Down           bool
	All            int // services that fit the search
	Chips          []stateChip
	Columns        []column
	Range          pageRange
	Fresh          bool // there is none at all, whatever was looked for
}

// stateChip is a link to the services of a state.
type stateChip struct {
	State string // "": all
	Count int
	Path  string
	On    bool
}

// column is a heading by which a list can be sorted.
type column struct {
	Text  string // key of the text
	Path  string
	Order string // ascending, descending; "": not by this
	Class string
}

// pageRange is which part of a list is shown.
type pageRange struct {
	From, To, Total int
	Before, After   string // the pages beside it; "": none
}

// rangeOf says which part of a list is shown; path makes the address of the page that begins at an offset.
func rangeOf(offset, shown, total, perPage int, path func(offset string) string) pageRange {
	r := pageRange{From: offset + 1, To: offset + shown, Total: total}
	if shown == 0 {
		r.From = offset
	}
	if offset > 0 {
		r.Before = path(offsetWord(max(0, offset-perPage)))
	}
	if offset+shown < total && shown > 0 {
		r.After = path(offsetWord(offset + perPage))
	}
	return r
}

func offsetWord(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func serviceList(v *View) (any, error) {
	offset, _ := strconv.Atoi(v.Parameter("from")) // what is no number is the beginning
	offset = min(max(0, offset), 1_000_000)
	d := listedServices{Search: v.Parameter("search"), Status: v.Parameter("status"), Sort: v.Parameter("sort"), Down: v.Parameter("down") == "true"}
	var err error
	d.ServiceOverview, err = v.API.ServiceOverview(v.Context(), api.ServiceOverviewFilter{
		Search: d.Search, Status: d.Status, Sort: d.Sort, Down: d.Down, Limit: servicesPerPage, Offset: offset,
	})
	if err != nil {
		return nil, err
	}
	for _, n := range d.States {
		d.All += n
	}
	d.Fresh = d.All == 0 && d.Search == ""
	d.Chips = append(d.Chips, stateChip{"", d.All, v.With("status", "", "from", ""), d.Status == ""})
	for _, state := range serviceStates() {
		if n := d.States[state]; n > 0 || d.Status == state {
			d.Chips = append(d.Chips, stateChip{state, n, v.With("status", state, "from", ""), d.Status == state})
		}
	}
	d.Columns = []column{
		sortedBy(v, "name", "services.name", ""), sortedBy(v, "status", "services.state", ""), sortedBy(v, "replicas", "services.replicas", "text-end"),
		sortedBy(v, "requests", "services.requests", "text-end"), sortedBy(v, "ttft", "services.ttft", "text-end d-none d-md-table-cell"),
		sortedBy(v, "tokens", "services.tokens", "d-none d-sm-table-cell"),
	}
	d.Range = rangeOf(offset, len(d.Items), d.Total, servicesPerPage, func(o string) string { return v.With("from", o) })
	return d, nil
}

// sortedBy is the heading of a column: pressed, it sorts by it, and pressed again the other way. Figures begin with the largest.
func sortedBy(v *View, order, text, class string) column {
	c := column{Text: text, Class: class}
	now, down := v.Parameter("sort"), v.Parameter("down") == "true"
	if now == "" {
		now = "name"
	}
	large := order != "name" && order != "status"
	switch {
	case now != order && large:
		c.Path = v.With("sort", order, "down", "true", "from", "")
	case now != order:
		c.Path = v.With("sort", order, "down", "", "from", "")
	case down:
		c.Order, c.Path = "descending", v.With("sort", order, "down", "", "from", "")
	default:
		c.Order, c.Path = "ascending", v.With("sort", order, "down", "true", "from", "")
	}
	return c
}

// together makes calls side by side, and returns the first error in their order.
func together(calls ...func() error) error {
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { errs[i] = call() })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
