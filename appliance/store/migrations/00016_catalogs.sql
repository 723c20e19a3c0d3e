-- Catalogs that an owner added, and the keys that are believed.

-- +goose Up
CREATE TABLE catalogs (
    name       TEXT    NOT NULL PRIMARY KEY,
    -- where it is, as it was given
    url        TEXT    NOT NULL,
    -- the part of it that holds the recipes, empty for all of it
    dir        TEXT    NOT NULL,
    -- of git: the branch or tag that is followed, empty for the first
    track      TEXT    NOT NULL,
    -- the revision that it stays at, empty where it follows
    pin        TEXT    NOT NULL,
    -- taken without a signature
    unsigned   BOOLEAN NOT NULL,
    -- catalog_keys.id of the key that must sign, empty where none must. Kept when that key is not trusted any more
    key_id     TEXT    NOT NULL,
    -- what is in use, and what was before: a commit or sha256:...
    revision   TEXT    NOT NULL,
    previous   TEXT    NOT NULL,
    -- the largest number of a signed index that was taken, and the SHA-256 of that index: neither ever goes back
    serial     BIGINT  NOT NULL,
    digest     TEXT    NOT NULL,
    added_by   TEXT    NOT NULL,
    added_at   BIGINT,
    -- when the revision came, and when its place was asked last
    updated_at BIGINT,
    checked_at BIGINT,
    -- what went wrong then, empty for nothing
    problem    TEXT    NOT NULL
);

CREATE TABLE catalog_keys (
    -- minisign:... or cosign:...
    id       TEXT   NOT NULL PRIMARY KEY,
    -- what the owner calls it
    name     TEXT   NOT NULL,
    -- the public key, as its program writes it
    text     TEXT   NOT NULL,
    added_by TEXT   NOT NULL,
    added_at BIGINT
);
