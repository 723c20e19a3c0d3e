-- +goose Up

-- Secrets of the owner: log-ins of registries, tokens of hubs. Their key is a file beside the data, not here.
CREATE TABLE secrets (
    -- what it opens: registry/ghcr.io
    name       TEXT NOT NULL PRIMARY KEY,
    -- the secret, encrypted (age), in base64
    ciphertext TEXT NOT NULL,
    -- when one of that name was first kept
    created_at BIGINT,
    -- when this one was
    updated_at BIGINT
);
