-- What sessions held and used: sums by the session and hour.

-- +goose Up
CREATE TABLE session_usage (
    -- when the hour began
    hour        BIGINT NOT NULL,
    -- sessions.id, which may be forgotten by now; what follows is as it was then
    session     TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    project     TEXT   NOT NULL,
    type        TEXT   NOT NULL,
    -- microseconds with a place
    held_us     BIGINT NOT NULL,
    -- held: cores times microseconds
    core_us     BIGINT NOT NULL,
    -- held: MiB times milliseconds
    mem_mibms   BIGINT NOT NULL,
    -- held: accelerators times microseconds
    share_us    BIGINT NOT NULL,
    -- used
    cpu_us      BIGINT NOT NULL,
    used_mibms  BIGINT NOT NULL,
    -- how far that is counted
    until_at    BIGINT,
    run_at      BIGINT,
    -- nanoseconds of CPU that the run had used by then
    clock       BIGINT NOT NULL,
    PRIMARY KEY (hour, session)
);
CREATE INDEX session_usage_sessions ON session_usage (session, hour);
