-- What was left of users and projects that were removed: from now on it goes with them.

-- +goose Up
DELETE FROM project_members WHERE person IN (SELECT name FROM users WHERE removed_at IS NOT NULL) OR project IN (SELECT name FROM projects WHERE removed_at IS NOT NULL);
DELETE FROM limits WHERE kind = 'user' AND name IN (SELECT name FROM users WHERE removed_at IS NOT NULL);
DELETE FROM limits WHERE kind = 'project' AND name IN (SELECT name FROM projects WHERE removed_at IS NOT NULL);
DELETE FROM logins WHERE user_name IN (SELECT name FROM users WHERE removed_at IS NOT NULL);

-- What sessions held and used, summed up further. Both are written in the transaction that writes session_usage, and say the same.

-- By the day and the session, for what tells sessions, people, projects and types apart.
CREATE TABLE session_usage_days (
    -- when the day began, in UTC
    hour        BIGINT NOT NULL,
    session     TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    project     TEXT   NOT NULL,
    type        TEXT   NOT NULL,
    held_us     BIGINT NOT NULL,
    core_us     BIGINT NOT NULL,
    mem_mibms   BIGINT NOT NULL,
    share_us    BIGINT NOT NULL,
    cpu_us      BIGINT NOT NULL,
    used_mibms  BIGINT NOT NULL,
    PRIMARY KEY (hour, session)
);
INSERT INTO session_usage_days
SELECT hour - hour % 86400000000, session, MAX(name), MAX(person), MAX(project), MAX(type),
    CAST(SUM(held_us) AS BIGINT), CAST(SUM(core_us) AS BIGINT), CAST(SUM(mem_mibms) AS BIGINT), CAST(SUM(share_us) AS BIGINT), CAST(SUM(cpu_us) AS BIGINT), CAST(SUM(used_mibms) AS BIGINT)
FROM session_usage
GROUP BY hour - hour % 86400000000, session;

-- By the hour, the project and the type, for what is drawn over time: days begin at any hour, by the zone.
CREATE TABLE session_usage_projects (
    -- when the hour began
    hour        BIGINT NOT NULL,
    project     TEXT   NOT NULL,
    type        TEXT   NOT NULL,
    held_us     BIGINT NOT NULL,
    core_us     BIGINT NOT NULL,
    mem_mibms   BIGINT NOT NULL,
    share_us    BIGINT NOT NULL,
    cpu_us      BIGINT NOT NULL,
    used_mibms  BIGINT NOT NULL,
    PRIMARY KEY (hour, project, type)
);
INSERT INTO session_usage_projects
SELECT hour, project, type,
    CAST(SUM(held_us) AS BIGINT), CAST(SUM(core_us) AS BIGINT), CAST(SUM(mem_mibms) AS BIGINT), CAST(SUM(share_us) AS BIGINT), CAST(SUM(cpu_us) AS BIGINT), CAST(SUM(used_mibms) AS BIGINT)
FROM session_usage
GROUP BY hour, project, type;
