BEGIN TRANSACTION;
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
CREATE TABLE event_counts (
    -- services.id
    service_id TEXT   NOT NULL PRIMARY KEY,
    -- events.seq of its newest event
    last_seq   BIGINT NOT NULL
);
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
CREATE TABLE palisade_schema (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO "palisade_schema" VALUES(1,0,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(2,1,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(3,2,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(4,3,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(5,4,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(6,5,1,'2026-11-01 12:00:00');
INSERT INTO "palisade_schema" VALUES(7,6,1,'2026-11-01 12:00:00');
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
INSERT INTO "revisions" VALUES('svc-1',1,1793534400000000,'','{"image":"host","folder":"","variant":"custom"}','{"variant":"custom","model_name":"chat","port":8000,"health":{"path":"/health","interval":1000000000,"max_retries":3,"max_wait":1000000000,"expected_status":200,"initial_delay":0},"mount":"/models","processes":[{"name":"chat","argv":["engine"],"work_dir":"/models","port":8000}],"metrics":{}}','');
CREATE TABLE secrets (
    -- what it opens: registry/ghcr.io
    name       TEXT NOT NULL PRIMARY KEY,
    -- the secret, encrypted (age), in base64
    ciphertext TEXT NOT NULL,
    -- when one of that name was first kept
    created_at BIGINT,
    -- when this one was
    updated_at BIGINT
);
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
, priority BIGINT NOT NULL DEFAULT 10, routing TEXT NOT NULL DEFAULT '{}');
INSERT INTO "services" VALUES('svc-1','chat','default','ada',1793534400000000,1793534400000000,1,'active',1,0,'{"unhealthy_ttl":60000000000,"on_unhealthy":"replace","termination_grace":30000000000,"start_timeout":1800000000000,"max_surge":1,"max_unavailable":0}',1,1,0,'',NULL,0,'{"balance":"","affinity_header":"","affinity_cookie":"","max_in_flight":0,"max_held":0,"hold_timeout":0,"repeat_window":0,"capture":0,"usage":""}');
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
, demand TEXT NOT NULL DEFAULT '{}', claim TEXT NOT NULL DEFAULT 'null', placed_at BIGINT, waits TEXT NOT NULL DEFAULT 'null');
INSERT INTO "sessions" VALUES('ses-up','chat-up','default','inference','ada',1793534400000000,'svc-1',1,'host','{"variant":"custom","model_name":"chat","port":8000,"health":{"path":"/health","interval":1000000000,"max_retries":3,"max_wait":1000000000,"expected_status":200,"initial_delay":0},"mount":"/models","processes":[{"name":"chat","argv":["engine"],"work_dir":"/models","port":8000}],"metrics":{}}','null','{}','RUNNING','','undefined','null','10.0.0.2:8000',77,1793534400000000,1793534460000000,NULL,NULL,1.0,'{"priority":0}','null',NULL,'null');
INSERT INTO "sessions" VALUES('ses-done','chat-done','default','inference','ada',1793534400000000,'svc-1',1,'host','{"variant":"custom","model_name":"chat","port":8000,"health":{"path":"/health","interval":1000000000,"max_retries":3,"max_wait":1000000000,"expected_status":200,"initial_delay":0},"mount":"/models","processes":[{"name":"chat","argv":["engine"],"work_dir":"/models","port":8000}],"metrics":{}}','null','{}','TERMINATED','','failure','{"reason":"failed","code":1,"message":"It ended.","finished_at":"2026-11-01T13:00:00Z"}','',0,NULL,NULL,NULL,1793538000000000,1.0,'{"priority":0}','null',NULL,'null');
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
, limits TEXT NOT NULL DEFAULT '{}');
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
INSERT INTO "transitions" VALUES('ses-up',1,'','RUNNING','as it was',1793534400000000);
INSERT INTO "transitions" VALUES('ses-done',1,'','TERMINATED','as it was',1793534400000000);
CREATE TABLE usage_hours (
    -- when the hour began
    hour              BIGINT NOT NULL,
    -- tokens.id, empty for requests without one
    token             TEXT   NOT NULL,
    -- of the service
    project           TEXT   NOT NULL,
    -- services.id
    service_id        TEXT   NOT NULL,
    -- its name then
    service           TEXT   NOT NULL,
    -- as clients named it
    model             TEXT   NOT NULL,
    -- how requests ended: number of a usage.Class
    class             BIGINT NOT NULL,
    requests          BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    -- of prompt_tokens: taken from the engine's cache
    cached_tokens     BIGINT NOT NULL,
    -- of completion_tokens: counted by the router, as the engine did not say
    estimated_tokens  BIGINT NOT NULL,
    -- requests that were answered as a stream
    streams           BIGINT NOT NULL,
    -- microseconds until their first bytes, together
    first_us          BIGINT NOT NULL,
    -- microseconds until the end of the answers, of all requests together
    took_us           BIGINT NOT NULL,
    PRIMARY KEY (hour, token, service_id, model, class)
);
CREATE TABLE usage_writers (
    -- one run of a daemon
    writer TEXT   NOT NULL PRIMARY KEY,
    -- the last of its batches that is in usage_hours
    number BIGINT NOT NULL,
    -- when that was
    at     BIGINT
);
CREATE UNIQUE INDEX services_live_name ON services (project, name) WHERE lifecycle <> 'destroyed';
CREATE INDEX sessions_created ON sessions (created_at, id);
CREATE UNIQUE INDEX folders_name ON folders (project, name);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('palisade_schema',7);
COMMIT;
