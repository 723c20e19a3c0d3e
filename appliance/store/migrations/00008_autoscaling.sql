-- How many routes services should have, and what was decided of it.

-- +goose Up
CREATE TABLE autoscaling (
    -- services.id
    service_id TEXT   NOT NULL PRIMARY KEY,
    -- JSON of autoscaler.Policy
    policy     TEXT   NOT NULL,
    -- counts edits of policy; a save that names another one is refused
    version    BIGINT NOT NULL,
    -- who edited it last, and when
    edited_by  TEXT   NOT NULL,
    edited_at  BIGINT,
    -- JSON of autoscaler.Memory: what the last decision leaves to the next
    memory     TEXT   NOT NULL,
    -- number of its last decision
    last_seq   BIGINT NOT NULL
);

-- Decisions, of each service the newest 1000.
CREATE TABLE decisions (
    -- services.id
    service_id TEXT   NOT NULL,
    -- in the order in which they were made
    seq        BIGINT NOT NULL,
    -- JSON of autoscaler.Decision: what was wished, by which rule, and why
    body       TEXT   NOT NULL,
    PRIMARY KEY (service_id, seq)
);
