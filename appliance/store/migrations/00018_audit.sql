-- Who changed what, in one chain of hashes. Rows are added and read, never changed or removed.

-- +goose Up
CREATE TABLE audit (
    -- 1, 2, 3, ... without a gap
    seq     BIGINT NOT NULL PRIMARY KEY,
    -- the entry as JSON, to the byte as it was hashed
    entry   TEXT NOT NULL,
    -- SHA-256 of the record before, and of this one
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL,
    -- what is in the entry too, to choose by
    at      BIGINT,
    actor   TEXT NOT NULL,
    project TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_target ON audit (target, seq);
-- Whose turn it is to add: who changes its one row holds up all others until the record is kept.
CREATE TABLE audit_turn (
    one  BIGINT NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL
);
INSERT INTO audit_turn (one, turn) VALUES (1, 0);
