-- What was used, summed up further. Both are written in the transaction that writes usage_hours, and say the same.

-- +goose Up

-- By the day, for all that tells tokens, services and models apart.
CREATE TABLE usage_days (
    -- when the day began, in UTC
    hour              BIGINT NOT NULL,
    token             TEXT   NOT NULL,
    project           TEXT   NOT NULL,
    service_id        TEXT   NOT NULL,
    service           TEXT   NOT NULL,
    model             TEXT   NOT NULL,
    class             BIGINT NOT NULL,
    requests          BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    cached_tokens     BIGINT NOT NULL,
    estimated_tokens  BIGINT NOT NULL,
    streams           BIGINT NOT NULL,
    first_us          BIGINT NOT NULL,
    took_us           BIGINT NOT NULL,
    PRIMARY KEY (hour, token, project, service_id, service, model, class)
);
INSERT INTO usage_days
SELECT hour - hour % 86400000000, token, project, service_id, service, model, class,
    CAST(SUM(requests) AS BIGINT), CAST(SUM(prompt_tokens) AS BIGINT), CAST(SUM(completion_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT),
    CAST(SUM(estimated_tokens) AS BIGINT), CAST(SUM(streams) AS BIGINT), CAST(SUM(first_us) AS BIGINT), CAST(SUM(took_us) AS BIGINT)
FROM usage_hours
GROUP BY hour - hour % 86400000000, token, project, service_id, service, model, class;

-- By the hour and the project, for what is drawn over time: days begin at any hour, by the zone.
CREATE TABLE usage_projects (
    -- when the hour began
    hour              BIGINT NOT NULL,
    project           TEXT   NOT NULL,
    class             BIGINT NOT NULL,
    requests          BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    cached_tokens     BIGINT NOT NULL,
    estimated_tokens  BIGINT NOT NULL,
    streams           BIGINT NOT NULL,
    first_us          BIGINT NOT NULL,
    took_us           BIGINT NOT NULL,
    PRIMARY KEY (hour, project, class)
);
INSERT INTO usage_projects
SELECT hour, project, class,
    CAST(SUM(requests) AS BIGINT), CAST(SUM(prompt_tokens) AS BIGINT), CAST(SUM(completion_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT),
    CAST(SUM(estimated_tokens) AS BIGINT), CAST(SUM(streams) AS BIGINT), CAST(SUM(first_us) AS BIGINT), CAST(SUM(took_us) AS BIGINT)
FROM usage_hours
GROUP BY hour, project, class;
