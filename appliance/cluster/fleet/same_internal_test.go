package fleet

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// leaves calls do with each value in v that is written, and no struct, pointer or list itself, which it may set; lists and maps have one of each.
func leaves(t *testing.T, path string, v reflect.Value, do func(path string, v reflect.Value)) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		do(path, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") == "-" {
				continue
			}
			leaves(t, path+"."+v.Type().Field(i).Name, v.Field(i), do)
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		leaves(t, path+"[0]", v.Index(0), do)
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		one := reflect.New(v.Type().Elem()).Elem()
		leaves(t, path+"[]", one, do)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), one)
	default:
		do(path, v)
	}
}

// filled is a row all of whose fields say something; the one at a path says something else.
func filled(t *testing.T, other string) (row cluster.Row, paths []string) {
	t.Helper()
	leaves(t, "", reflect.ValueOf(&row).Elem(), func(path string, v reflect.Value) {
		paths = append(paths, path)
		n := int64(7)
		if path == other {
			n = 8
		}
		switch {
		case v.Type() == reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(time.Unix(n, 0).UTC()))
		case v.Kind() == reflect.String:
			v.SetString(fmt.Sprint("said ", n))
		case v.Kind() == reflect.Bool:
			v.SetBool(n == 8)
		case v.CanInt():
			v.SetInt(n)
		case v.CanFloat():
			v.SetFloat(float64(n))
		default:
			t.Fatalf("%s is a %s, of which this test knows nothing", path, v.Type())
		}
	})
	return row, paths
}

// TestRowsAreComparedWhole: no field of a row, whichever come later, is left out where rows are compared.
func TestRowsAreComparedWhole(t *testing.T) {
	row, paths := filled(t, "")
	if again, _ := filled(t, ""); !same(&row, &again) || len(paths) < 25 {
		t.Errorf("a row of %d fields is not what it is", len(paths))
	}
	for _, path := range paths {
		if other, _ := filled(t, path); same(&row, &other) {
			t.Errorf("%s may differ", path)
		}
	}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	var read cluster.Row
	if err := json.Unmarshal(text, &read); err != nil || !same(&row, &read) {
		t.Errorf("read back it is another: %+v, %v", read, err)
	}
	for key := range row.Nodes {
		row.Nodes[key+"s"] = row.Nodes[key]
		delete(row.Nodes, key)
	}
	if again, _ := filled(t, ""); same(&row, &again) {
		t.Error("another route is on the box")
	}
}

// BenchmarkTableCompared is what a table of 1,000 services of ten routes costs to be held against what is written of it.
func BenchmarkTableCompared(b *testing.B) {
	table := func() map[string]*cluster.Row {
		rows := map[string]*cluster.Row{}
		for s := range 1000 {
			row := &cluster.Row{Service: sessions.ServiceRoutes{ID: fmt.Sprint("svc-", s), Name: fmt.Sprint("model-", s), CreatedAt: time.Unix(7, 0)}, Nodes: map[string]string{}}
			for r := range 10 {
				id := fmt.Sprint("ses-", s, "-", r)
				row.Service.Routes = append(row.Service.Routes, sessions.RouteTarget{ID: id, Addr: "10.0.0.2:8000", Weight: 1})
				row.Nodes[id] = fmt.Sprint("node-", s)
			}
			rows[row.Service.ID] = row
		}
		return rows
	}
	was, is := table(), table()
	b.ReportAllocs()
	for b.Loop() {
		for id, row := range is {
			if hasteOf(was[id], row, 0) != none {
				b.Fatal(id)
			}
		}
	}
}
