-- Folders that are shared, bounded, and put aside before they go.

-- +goose Up
-- bytes that it may hold, 0 for no bound
ALTER TABLE folders ADD COLUMN quota BIGINT NOT NULL DEFAULT 0;
-- when it was put into the trash, null while it is in use
ALTER TABLE folders ADD COLUMN trashed_at BIGINT;
-- who put it there
ALTER TABLE folders ADD COLUMN trashed_by TEXT NOT NULL DEFAULT '';
DROP INDEX folders_name;
CREATE UNIQUE INDEX folders_live_name ON folders (project, name) WHERE trashed_at IS NULL;

-- Who else may use a folder.
CREATE TABLE folder_grants (
    -- folders.id
    folder_id  TEXT   NOT NULL,
    -- a person by name, empty where it is shared with a project
    person     TEXT   NOT NULL,
    -- a project, empty where it is shared with a person
    project    TEXT   NOT NULL,
    -- ro, rw or wd
    permission TEXT   NOT NULL,
    -- who shared it
    created_by TEXT   NOT NULL,
    -- when
    created_at BIGINT,
    PRIMARY KEY (folder_id, person, project)
);
