package store_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/palisade-run/palisade/appliance/store"
)

// A million rows of usage, moved to PostgreSQL and back, beside what a plain COPY of the same rows into the same table of
// the same server takes, and beside a copy of the file's rows by SQLite itself.
func BenchmarkMove(b *testing.B) {
	const rows = 1_000_000
	from := fresh(b, databases["sqlite"](b))
	_, err := raw(b, from).Exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
		INSERT INTO usage_hours SELECT 1767225600000000 + (i / 200) * 3600000000, 'tok-' || (i % 200 / 2), 'default', 'svc-' || (i % 200), 's' || (i % 200), 'm' || (i % 200), 2,
			5, 100 + i % 977, 50 + i % 13, 0, 0, 1, 2000 + i % 7919, 90000 + i % 7907 FROM n`)
	must(b, err)
	for b.Loop() {
		server, back := databases["postgres"](b), databases["sqlite"](b)
		phases := map[string]time.Duration{}
		last, phase := time.Now(), ""
		_, err := store.Move(b.Context(), store.MoveOptions{From: from, To: server, Progress: func(s store.MoveStep) {
			now := time.Now()
			phases[phase] += now.Sub(last)
			last, phase = now, s.Phase
		}})
		must(b, err)
		there := phases[store.MoveChecking] + phases[store.MoveCopying] + phases[store.MoveComparing]
		began := time.Now()
		move(b, server, back)
		again := time.Since(began)

		plain := copied(b, server)
		itself := attached(b, from, databases["sqlite"](b))
		for unit, v := range map[string]float64{
			"to-pg-rows/s": rows / there.Seconds(), "pg-copying-rows/s": rows / phases[store.MoveCopying].Seconds(), "plain-COPY-rows/s": rows / plain.Seconds(),
			"to-pg/COPY": there.Seconds() / plain.Seconds(), "pg-copying/COPY": phases[store.MoveCopying].Seconds() / plain.Seconds(),
			"to-sqlite-rows/s": rows / again.Seconds(), "plain-INSERT-SELECT-rows/s": rows / itself.Seconds(), "to-sqlite/INSERT-SELECT": again.Seconds() / itself.Seconds(),
		} {
			b.ReportMetric(v, unit)
		}
	}
}

// copied is how long COPY takes for the rows of usage_hours, from memory to an empty table like it.
func copied(b *testing.B, dsn string) time.Duration {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), dsn)
	must(b, err)
	defer conn.Close(b.Context())
	var text bytes.Buffer
	_, err = conn.PgConn().CopyTo(b.Context(), &text, "COPY usage_hours TO STDOUT (FORMAT binary)")
	must(b, err)
	_, err = conn.Exec(b.Context(), "CREATE TABLE plain (LIKE usage_hours INCLUDING ALL)")
	must(b, err)
	began := time.Now()
	_, err = conn.PgConn().CopyFrom(b.Context(), &text, "COPY plain FROM STDIN (FORMAT binary)")
	must(b, err)
	return time.Since(began)
}

// attached is how long SQLite takes to copy the rows of usage_hours from one file to another.
func attached(b *testing.B, from, to string) time.Duration {
	b.Helper()
	conn, err := raw(b, fresh(b, to)).Conn(b.Context())
	must(b, err)
	defer conn.Close()
	_, err = conn.ExecContext(b.Context(), "ATTACH $1 AS other", from[len("sqlite:"):])
	must(b, err)
	began := time.Now()
	_, err = conn.ExecContext(b.Context(), "INSERT INTO usage_hours SELECT * FROM other.usage_hours ORDER BY hour, token, service_id, model, class")
	must(b, err)
	return time.Since(began)
}
