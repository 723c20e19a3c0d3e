-- Sessions of people, beside those of services.

-- +goose Up
-- JSON of sessions.Task: command, timeout, retries, how often it was started again, ...
ALTER TABLE sessions ADD COLUMN task TEXT NOT NULL DEFAULT '{}';
