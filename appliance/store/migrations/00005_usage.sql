-- What was used: sums by the hour.

-- +goose Up
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

-- Who has added to usage_hours, so that nothing is added twice.
CREATE TABLE usage_writers (
    -- one run of a daemon
    writer TEXT   NOT NULL PRIMARY KEY,
    -- the last of its batches that is in usage_hours
    number BIGINT NOT NULL,
    -- when that was
    at     BIGINT
);
