package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// compare reads both databases in the order of their keys, and fails at the first row that is not the same.
func (m *mover) compare(ctx context.Context) error {
	written, err := m.dst.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: m.dst.dialect.name == schemePostgres})
	if err != nil {
		return err
	}
	defer func() { _ = written.Rollback() }() // it only reads
	var done int64
	m.moved.Tables = nil
	for i := range m.tables {
		t := &m.tables[i]
		m.tell(MoveStep{MoveComparing, t.name, done, m.total})
		one, err := m.compareTable(ctx, t, written, func(n int64) {
			m.tell(MoveStep{MoveComparing, t.name, done + n, m.total})
		})
		if err != nil {
			return err
		}
		done += one.Rows
		m.moved.Tables = append(m.moved.Tables, one)
	}
	if done != m.total {
		return different(fmt.Sprintf("%d rows were read of %d", done, m.total))
	}
	return nil
}

func (m *mover) compareTable(ctx context.Context, t *table, written *sql.Tx, told func(int64)) (_ MovedTable, err error) {
	was, err := t.reader(ctx, m.read, m.src.dialect.name, m.dst.dialect.name)
	if err != nil {
		return MovedTable{}, err
	}
	defer func() { err = errors.Join(err, was.close()) }()
	is, err := t.reader(ctx, written, m.dst.dialect.name, m.dst.dialect.name)
	if err != nil {
		return MovedTable{}, err
	}
	defer func() { err = errors.Join(err, is.close()) }()
	sum, out := sha256.New(), MovedTable{Name: t.name}
	var a, b []byte
	for {
		more, there := was.next(), is.next()
		if was.failed() || is.failed() {
			return out, nil // close says why
		}
		if !more && !there {
			out.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return out, nil
		}
		if !more || !there {
			return out, t.oneMissing(more, was.row, is.row)
		}
		a, b = appendRow(a[:0], was.row), appendRow(b[:0], is.row)
		if !bytes.Equal(a, b) {
			return out, t.firstDifference(was.row, is.row)
		}
		sum.Write(a)
		if out.Rows++; out.Rows%moveBatch == 0 {
			told(out.Rows)
		}
	}
}

// oneMissing is the error where one side has ended and the other has one more row.
func (t *table) oneMissing(more bool, was, is []any) error {
	if more {
		return different(fmt.Sprintf("%s, row %s: it is not there", t.name, t.keyText(was)))
	}
	return different(fmt.Sprintf("%s, row %s: it is there and was not before", t.name, t.keyText(is)))
}

// firstDifference names what differs, but not the values: they may be secrets.
func (t *table) firstDifference(was, is []any) error {
	switch t.compareKeys(was, is) {
	case -1:
		return different(fmt.Sprintf("%s, row %s: it is not there", t.name, t.keyText(was)))
	case 1:
		return different(fmt.Sprintf("%s, row %s: it is there and was not before", t.name, t.keyText(is)))
	}
	at := slices.IndexFunc(t.columns, func(c column) bool {
		i := slices.Index(t.columns, c)
		return !bytes.Equal(appendRow(nil, was[i:i+1]), appendRow(nil, is[i:i+1]))
	})
	return different(fmt.Sprintf("%s, row %s: column %s is not the same", t.name, t.keyText(was), t.columns[at].name))
}

func different(what string) error {
	return &Error{Kind: ErrDifferent, Err: errors.New(what), hint: "the database that was moved is as it was, and still the one that counts; repeat the move, and tell us if it happens again"}
}
