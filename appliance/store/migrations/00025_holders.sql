-- Who has a PostgreSQL database for itself, or had it last: one row, once there was one. The lock itself is the server's; the row tells
-- who gets it again whether somebody else had it in between.

-- +goose Up

CREATE TABLE holders (
    -- of the row; there is one
    id    BIGINT NOT NULL PRIMARY KEY,
    -- as the process calls itself: "palisade 123@box#x7c2" with more behind it, unlike that of any other
    name  TEXT   NOT NULL,
    since BIGINT NOT NULL
);
