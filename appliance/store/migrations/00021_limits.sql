-- What projects and people may have, where that was set and not left to the settings.

-- +goose Up
CREATE TABLE limits (
    -- project or user
    kind       TEXT NOT NULL,
    -- projects.name, or the user's name
    name       TEXT NOT NULL,
    -- JSON: {"slots": {"cpu": "8"}, "sessions": 1, "services": 1, "routes": 1, "storage": bytes, "usage": {"tokens_per_minute": "100k"}}
    limits     TEXT NOT NULL,
    -- who said so last, and when
    changed_by TEXT NOT NULL,
    changed_at BIGINT,
    PRIMARY KEY (kind, name)
);
