-- How requests find a service's routes.

-- +goose Up
-- JSON of sessions.Routing: balance, limits, holding, ... What is not in it has its default
ALTER TABLE services ADD COLUMN routing TEXT NOT NULL DEFAULT '{}';
