-- Folders in a cluster.

-- +goose Up
-- the box where it was made, on whose disk its path is; empty where there is one box, or where all share the disk
ALTER TABLE folders ADD COLUMN home TEXT NOT NULL DEFAULT '';
