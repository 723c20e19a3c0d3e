-- Models that are installed, and how they came to be.

-- +goose Up
-- its files never change: it is a revision of a model
ALTER TABLE folders ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE models (
    -- mdl- and 12 characters
    id         TEXT   NOT NULL PRIMARY KEY,
    project    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT,
    -- JSON of install.ModelState: where it is from, its revisions, and which of them counts
    state      TEXT   NOT NULL
);
CREATE UNIQUE INDEX models_name ON models (project, name);

CREATE TABLE installs (
    -- ins- and 12 characters
    id         TEXT   NOT NULL PRIMARY KEY,
    project    TEXT   NOT NULL,
    -- models.name
    model      TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT,
    -- JSON of install.Wish: what was asked for. Never changed
    wish       TEXT   NOT NULL,
    -- JSON of install.State: how far it is
    state      TEXT   NOT NULL
);
CREATE INDEX installs_model ON installs (project, model);
