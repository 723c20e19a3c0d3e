-- Pipelines, and the jobs that are runs of them.

-- +goose Up
CREATE TABLE pipelines (
    -- whose it is
    project    TEXT   NOT NULL,
    -- as its file names it
    name       TEXT   NOT NULL,
    -- the file. Empty: it was never applied, and is known by its jobs alone
    source     TEXT   NOT NULL,
    -- who applied it last, and when
    applied_by TEXT   NOT NULL,
    applied_at BIGINT,
    -- number of its newest job
    last_job   BIGINT NOT NULL,
    -- the moment of its schedule up to which jobs have been made
    scheduled  BIGINT,
    PRIMARY KEY (project, name)
);

CREATE TABLE pipeline_jobs (
    -- job- and 12 characters, never used again
    id         TEXT    NOT NULL PRIMARY KEY,
    project    TEXT    NOT NULL,
    -- pipelines.name
    pipeline   TEXT    NOT NULL,
    -- from 1, in the order in which jobs of the pipeline were made
    number     BIGINT  NOT NULL,
    created_by TEXT    NOT NULL,
    created_at BIGINT,
    -- the moment of the schedule that it is for, NULL where somebody asked for it
    due_at     BIGINT,
    -- every task runs, whatever earlier jobs left
    no_cache   BOOLEAN NOT NULL,
    -- the file, as it was
    source     TEXT    NOT NULL,
    -- JSON: the values of its parameters
    parameters TEXT    NOT NULL,
    -- JSON of pipeline.Plan: what it does. Never changed
    plan       TEXT    NOT NULL,
    -- JSON of pipeline.State: what has become of it
    state      TEXT    NOT NULL
);
CREATE UNIQUE INDEX pipeline_jobs_number ON pipeline_jobs (project, pipeline, number);
