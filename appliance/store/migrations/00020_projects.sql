-- Projects, who has which part in them, and what API keys are good for.

-- +goose Up
CREATE TABLE projects (
    -- never given to another: one that is made again is the same one
    name       TEXT NOT NULL PRIMARY KEY,
    -- what people read, may be empty
    title      TEXT NOT NULL,
    -- who made it, empty for one that was there before there were rows of projects
    created_by TEXT NOT NULL,
    -- when it was made
    created_at BIGINT,
    -- when it was removed, NULL while it is there
    removed_at BIGINT
);
INSERT INTO projects (name, title, created_by)
SELECT DISTINCT project, '', '' FROM (
    SELECT 'default' AS project
    UNION SELECT project FROM services
    UNION SELECT project FROM sessions
    UNION SELECT project FROM folders
    UNION SELECT project FROM folder_grants
    UNION SELECT project FROM tokens
    UNION SELECT project FROM ssh_keys
    UNION SELECT project FROM usage_hours
    UNION SELECT project FROM session_usage
    UNION SELECT project FROM pipelines
    UNION SELECT project FROM pipeline_jobs
    UNION SELECT project FROM models
    UNION SELECT project FROM installs
) AS named WHERE project <> '';

CREATE TABLE project_members (
    -- projects.name
    project  TEXT   NOT NULL,
    -- the user's name
    person   TEXT   NOT NULL,
    -- 1 viewer, 2 member, 3 owner
    role     BIGINT NOT NULL,
    -- who said so last, and when
    added_by TEXT   NOT NULL,
    added_at BIGINT,
    PRIMARY KEY (project, person)
);

-- the user who answers for a key and bounds what it may, empty for one of the box itself
ALTER TABLE api_keys ADD COLUMN owner TEXT NOT NULL DEFAULT '';
-- read, write or admin: keys that were there could do everything
ALTER TABLE api_keys ADD COLUMN scope TEXT NOT NULL DEFAULT 'admin';
-- the one project that it opens, empty for all that its owner has
ALTER TABLE api_keys ADD COLUMN project TEXT NOT NULL DEFAULT '';
-- when it ends by itself, NULL for never
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;

-- the user whose key it is, empty for one that was added from the box itself
ALTER TABLE ssh_keys ADD COLUMN account TEXT NOT NULL DEFAULT '';
