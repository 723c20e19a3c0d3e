package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
)

// kind is what a column holds: one of the few types that mean the same to both databases.
type kind string

const (
	kindText  kind = "TEXT"
	kindWhole kind = "BIGINT"
	kindTruth kind = "BOOLEAN"
	kindReal  kind = "DOUBLE PRECISION"
)

// column of a table.
type column struct {
	name string
	kind kind
}

// table is one that the migrations make.
type table struct {
	name    string
	columns []column
	key     []int // columns that tell rows apart, by their places in columns: those of the primary key
}

// schemaOf are the tables as the migrations make them up to a version, by name, but those that are about the database and not about the
// appliance. They are read from an empty database that
// is made for it, so that a new table cannot be forgotten anywhere.
func schemaOf(ctx context.Context, version int64) ([]table, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, fmt.Errorf("making an empty schema: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each has a memory of its own
	s := &Store{dialect: sqliteDialect(":memory:"), writer: db, reader: db, log: slog.New(slog.DiscardHandler)}
	if err := s.migrate(ctx, version); err != nil {
		return nil, err
	}
	names, err := texts(ctx, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN ('"+versionTable+"', '"+holdersTable+"', '"+floorTable+"') ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	var tables []table
	for _, name := range names {
		t, err := tableOf(ctx, db, name)
		if err != nil {
			return nil, fmt.Errorf("reading the schema of %s: %w", name, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func tableOf(ctx context.Context, db *sql.DB, name string) (table, error) {
	t := table{name: name}
	rows, err := db.QueryContext(ctx, "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid", name)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	keys := map[int]int{} // from the place in the key to the column
	for rows.Next() {
		var c column
		var key int
		if err := rows.Scan(&c.name, &c.kind, &key); err != nil {
			return t, err
		}
		switch c.kind {
		case kindText, kindWhole, kindTruth, kindReal:
		default:
			return t, fmt.Errorf("column %s is a %s, which is none of those that both databases have", c.name, c.kind)
		}
		if key > 0 {
			keys[key] = len(t.columns)
		}
		t.columns = append(t.columns, c)
	}
	for i := range len(keys) {
		t.key = append(t.key, keys[i+1])
	}
	if len(t.key) == 0 {
		return t, fmt.Errorf("it has no primary key: nothing tells its rows apart")
	}
	return t, rows.Err()
}

// query reads all rows, in the order of the key, which is the same on both databases: by bytes, whatever language the
// server sorts for.
func (t *table) query(dialect string) string {
	var columns, order []string
	for _, c := range t.columns {
		columns = append(columns, quoted(c.name))
	}
	for _, k := range t.key {
		by := quoted(t.columns[k].name)
		if t.columns[k].kind == kindText && dialect == schemePostgres {
			by += ` COLLATE "C"`
		}
		order = append(order, by)
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + quoted(t.name) + " ORDER BY " + strings.Join(order, ", ")
}

func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// texts are the values of a query's one column.
func texts(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
