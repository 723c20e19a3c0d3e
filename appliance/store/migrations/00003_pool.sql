-- What sessions ask of the pool, what they hold of it, and why they wait.

-- +goose Up
-- JSON of sessions.Demand: priority, slots, selector, ...
ALTER TABLE sessions ADD COLUMN demand TEXT NOT NULL DEFAULT '{}';
-- JSON of accel.Claim: what it holds, null while it holds nothing
ALTER TABLE sessions ADD COLUMN claim TEXT NOT NULL DEFAULT 'null';
-- since when it holds that
ALTER TABLE sessions ADD COLUMN placed_at BIGINT;
-- JSON list of sessions.Wait: why it waits, null when it does not
ALTER TABLE sessions ADD COLUMN waits TEXT NOT NULL DEFAULT 'null';
-- of its routes in the queue, 0 to 100
ALTER TABLE services ADD COLUMN priority BIGINT NOT NULL DEFAULT 10;

