-- Who decides in a cluster of boxes: one row, once there was one.

-- +goose Up

CREATE TABLE reigns (
    -- of the row; there is one
    id   BIGINT NOT NULL PRIMARY KEY,
    -- the greatest in which anybody has decided here
    term BIGINT NOT NULL
);
