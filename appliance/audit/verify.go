package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// page is how many records are read at a time.
const page = 1000

// Verdict is what a look at the whole chain has found.
type Verdict struct {
	Records int64
	Head    Head   // where it ends
	Fault   string // the first thing that is wrong, for a person; empty: nothing is
	At      int64  // number of the record at which that is; 0 where it is none
}

// Verify reads the whole chain: each number follows the one before, each hash is that of its record, each entry says what its
// columns say, and it reaches at least to each of known, which somebody has kept elsewhere. Whoever may write both the database
// and the witness file can make a new chain: what stands against that is a head that is kept on another machine.
func (l *Log) Verify(ctx context.Context, known ...Head) (Verdict, error) {
	witness, err := l.Witness()
	if err != nil {
		return Verdict{Fault: "the file that says where the record ends cannot be read: " + err.Error()}, nil //nolint:nilerr // that is the verdict
	}
	if witness.Seq > 0 {
		known = append(known, witness)
	}
	c := chain{last: start(), known: known}
	err = l.Each(ctx, Query{}, func(r *Record) error {
		c.add(r)
		return nil
	})
	if err != nil {
		return Verdict{}, err
	}
	c.end()
	return c.Verdict, nil
}

// Each calls fn with the records that q chooses, oldest first, whatever number they are.
func (l *Log) Each(ctx context.Context, q Query, fn func(*Record) error) error {
	q.Newest, q.Limit = false, page
	for {
		records, err := l.store.Audit(ctx, q)
		if err != nil {
			return err
		}
		for i := range records {
			if err := fn(&records[i]); err != nil {
				return err
			}
		}
		if len(records) < page {
			return nil
		}
		q.After = records[len(records)-1].Seq
	}
}

type chain struct {
	Verdict
	last  Head
	known []Head
}

func (c *chain) fault(at int64, format string, args ...any) {
	if c.Fault == "" {
		c.Fault, c.At = fmt.Sprintf(format, args...), at
	}
}

func (c *chain) add(r *Record) {
	c.Records++
	switch {
	case r.Seq != c.last.Seq+1:
		c.fault(r.Seq, "record %d follows record %d: what was between them is missing", r.Seq, c.last.Seq)
	case r.Prev != c.last.Hash:
		c.fault(r.Seq, "record %d does not follow the record before it: one of them was replaced", r.Seq)
	case r.Hash != seal(r.Seq, r.Prev, r.Text):
		c.fault(r.Seq, "record %d was changed: its hash is not that of its text", r.Seq)
	case !r.agrees():
		c.fault(r.Seq, "record %d was changed: its columns do not say what its text says", r.Seq)
	}
	for _, k := range c.known {
		if k.Seq == r.Seq && k.Hash != r.Hash {
			c.fault(r.Seq, "record %d is not the one that was known before: the record was written anew", r.Seq)
		}
	}
	c.last = r.Head()
}

func (c *chain) end() {
	c.Head = c.last
	for _, k := range c.known {
		if k.Seq > c.last.Seq {
			c.fault(k.Seq, "the record ends at %d, and went to %d: what came after is missing", c.last.Seq, k.Seq)
		}
	}
}

// agrees reports whether the columns by which records are chosen are those of the text.
func (r *Record) agrees() bool {
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(r.Text))
	if err := dec.Decode(&e); err != nil {
		return false
	}
	return e.Actor == r.Actor && e.Action == r.Action && e.Target == r.Target && e.Project == r.Project && e.At.UnixMilli() == r.At.UnixMilli()
}
