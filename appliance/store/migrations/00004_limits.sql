-- What a token may use.

-- +goose Up
-- JSON of quota.Limits: requests and tokens a minute, requests at a time, a budget; empty for no limits
ALTER TABLE tokens ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
