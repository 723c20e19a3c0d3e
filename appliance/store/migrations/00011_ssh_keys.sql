-- Public keys with which people come into their sessions.

-- +goose Up
CREATE TABLE ssh_keys (
    -- sshkey- and 12 characters, never used again
    id          TEXT NOT NULL PRIMARY KEY,
    -- what its owner calls it, unique among the owner's
    name        TEXT NOT NULL,
    -- who added it
    owner       TEXT NOT NULL,
    -- whose sessions it opens, empty for those of all projects
    project     TEXT NOT NULL,
    -- SHA256:... of the key
    fingerprint TEXT NOT NULL,
    -- the key, as a line of authorized_keys without its comment
    line        TEXT NOT NULL,
    -- when it was added
    created_at  BIGINT,
    -- when somebody came with it last, accurate to a minute, NULL for never
    last_used   BIGINT
);
CREATE UNIQUE INDEX ssh_keys_fingerprint ON ssh_keys (fingerprint);
CREATE UNIQUE INDEX ssh_keys_name ON ssh_keys (owner, name);
