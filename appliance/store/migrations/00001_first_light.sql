-- One schema for SQLite and PostgreSQL. What that asks of every migration:
--   * TEXT, BIGINT, BOOLEAN and DOUBLE PRECISION only. They mean the same on both.
--   * a time is a BIGINT: microseconds since 1970-01-01 UTC. NULL is the zero time (never, not yet).
--   * JSON is TEXT: it is read and written whole, never queried.
--   * no foreign keys: a revision is saved before the service that points to it, and history outlives its subject.
--   * no statement ends inside a comment: the migration reader cuts at a semicolon that ends a line.

-- +goose Up

-- What owners want. A destroyed service stays, as history.
CREATE TABLE services (
    -- svc- and 12 characters, never used again
    id            TEXT    NOT NULL PRIMARY KEY,
    -- what people and clients call it, unique among the project's services that are not destroyed
    name          TEXT    NOT NULL,
    -- whose it is
    project       TEXT    NOT NULL,
    -- who made it
    created_by    TEXT    NOT NULL,
    -- when it was made
    created_at    BIGINT,
    -- when it was last changed, as the manager says
    updated_at    BIGINT,
    -- counts saves from 1: a save that comes from an older one is refused
    version       BIGINT  NOT NULL,
    -- active, destroying or destroyed
    lifecycle     TEXT    NOT NULL,
    -- routes wanted
    replicas      BIGINT  NOT NULL,
    -- answers without a token
    public        BOOLEAN NOT NULL,
    -- JSON of sessions.Policy: grace times, surge, what to do with the unhealthy
    policy        TEXT    NOT NULL,
    -- number of the revision that should run
    revision      BIGINT  NOT NULL,
    -- number of the newest revision that became healthy, 0 for none: the one to roll back to
    good_revision BIGINT  NOT NULL,
    -- starts that failed in a row
    failures      BIGINT  NOT NULL,
    -- why the last of them failed, or why a revision was rolled back
    last_error    TEXT    NOT NULL,
    -- no start before it, NULL for at once
    retry_at      BIGINT
);
CREATE UNIQUE INDEX services_live_name ON services (project, name) WHERE lifecycle <> 'destroyed';

-- Each version of what a service runs.
CREATE TABLE revisions (
    -- services.id
    service_id TEXT   NOT NULL,
    -- from 1, in the order of edits
    number     BIGINT NOT NULL,
    -- when it was made
    created_at BIGINT,
    -- who made it
    created_by TEXT   NOT NULL,
    -- JSON of sessions.Recipe: what the owner asked for
    recipe     TEXT   NOT NULL,
    -- JSON of variants.LaunchSpec: what that came to, so that a rollback runs what ran
    launch     TEXT   NOT NULL,
    -- why it never became healthy, empty otherwise
    failed     TEXT   NOT NULL,
    PRIMARY KEY (service_id, number)
);

-- Instances that run, ran or are to run.
CREATE TABLE sessions (
    -- ses- and 12 characters, never used again
    id            TEXT   NOT NULL PRIMARY KEY,
    -- what people call it
    name          TEXT   NOT NULL,
    -- whose it is
    project       TEXT   NOT NULL,
    -- interactive, batch, inference or system
    type          TEXT   NOT NULL,
    -- who asked for it
    created_by    TEXT   NOT NULL,
    -- when it was asked for
    created_at    BIGINT,
    -- services.id of which it is a route, empty where it is none
    service_id    TEXT   NOT NULL,
    -- revisions.number that it runs, 0 where it is no route
    revision      BIGINT NOT NULL,
    -- reference of its image, or host
    image         TEXT   NOT NULL,
    -- JSON of variants.LaunchSpec: what it runs
    launch        TEXT   NOT NULL,
    -- JSON list of sessions.Mount: what of the box it sees
    mounts        TEXT   NOT NULL,
    -- JSON of sessions.Limits: what of the box it may use
    limits        TEXT   NOT NULL,
    -- where it is in its life: PENDING ... TERMINATED
    status        TEXT   NOT NULL,
    -- why it is there, one sentence
    reason        TEXT   NOT NULL,
    -- undefined, success or failure
    result        TEXT   NOT NULL,
    -- JSON of sessions.Exit: how it ended, null before
    exit          TEXT   NOT NULL,
    -- host:port at which it answers, empty before it runs
    address       TEXT   NOT NULL,
    -- its first process as the box sees it, 0 for none
    pid           BIGINT NOT NULL,
    -- when it began to run
    started_at    BIGINT,
    -- when a probe of it first passed
    healthy_at    BIGINT,
    -- since when its probes fail, null while they pass
    unhealthy_since BIGINT,
    -- when it reached a terminal status
    ended_at      BIGINT,
    -- its weight in the balance
    traffic_ratio DOUBLE PRECISION NOT NULL
);
CREATE INDEX sessions_created ON sessions (created_at, id);

-- What sessions went through. Written in the transaction that saves the session.
CREATE TABLE transitions (
    -- sessions.id
    session_id  TEXT   NOT NULL,
    -- from 1, in the order of saving
    seq         BIGINT NOT NULL,
    -- status before
    from_status TEXT   NOT NULL,
    -- status after
    to_status   TEXT   NOT NULL,
    -- why, one sentence
    reason      TEXT   NOT NULL,
    -- when
    at          BIGINT,
    PRIMARY KEY (session_id, seq)
);

-- What happened to services and why. The newest 1000 of each are kept.
CREATE TABLE events (
    -- services.id
    service_id TEXT   NOT NULL,
    -- from 1, in the order of saving, without gaps
    seq        BIGINT NOT NULL,
    -- sessions.id that it is about, empty where it is about the whole service
    session_id TEXT   NOT NULL,
    -- when
    at         BIGINT,
    -- created, scaled, healthy, ...
    kind       TEXT   NOT NULL,
    -- one sentence
    message    TEXT   NOT NULL,
    PRIMARY KEY (service_id, seq)
);

-- The last events.seq given out. A row of its own, so that counting does not rewrite the service's.
CREATE TABLE event_counts (
    -- services.id
    service_id TEXT   NOT NULL PRIMARY KEY,
    -- events.seq of its newest event
    last_seq   BIGINT NOT NULL
);

-- Directories of the box that sessions mount by name.
CREATE TABLE folders (
    -- fld- and 12 characters, never used again
    id         TEXT    NOT NULL PRIMARY KEY,
    -- what people call it, unique in its project
    name       TEXT    NOT NULL,
    -- whose it is
    project    TEXT    NOT NULL,
    -- model, general or data
    usage      TEXT    NOT NULL,
    -- where it is on the box, absolute
    path       TEXT    NOT NULL,
    -- its owner made the directory: removing the folder leaves it alone
    imported   BOOLEAN NOT NULL,
    -- who made or imported it
    created_by TEXT    NOT NULL,
    -- when
    created_at BIGINT
);
CREATE UNIQUE INDEX folders_name ON folders (project, name);

-- What lets clients use services. The secrets themselves are kept nowhere.
CREATE TABLE tokens (
    -- tok- and 12 characters, safe to show
    id         TEXT   NOT NULL PRIMARY KEY,
    -- hex SHA-256 of the secret
    hash       TEXT   NOT NULL,
    -- what people call it
    name       TEXT   NOT NULL,
    -- the project whose services it opens
    project    TEXT   NOT NULL,
    -- the one service that it opens, empty for all of the project
    service_id TEXT   NOT NULL,
    -- who issued it
    created_by TEXT   NOT NULL,
    -- when it was issued
    created_at BIGINT,
    -- from when on it opens nothing
    expires_at BIGINT,
    -- when it was last used, to a minute: only ever grows
    last_used  BIGINT,
    -- when it was revoked: once set it stays
    revoked_at BIGINT
);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);

-- What lets programs use the admin API. The secrets themselves are kept nowhere.
CREATE TABLE api_keys (
    -- key- and 12 characters, safe to show
    id         TEXT   NOT NULL PRIMARY KEY,
    -- hex SHA-256 of the secret
    hash       TEXT   NOT NULL,
    -- what people call it
    name       TEXT   NOT NULL,
    -- who made it
    created_by TEXT   NOT NULL,
    -- when it was made
    created_at BIGINT,
    -- when it was last used, to a minute: only ever grows
    last_used  BIGINT,
    -- when it was revoked: once set it stays
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
