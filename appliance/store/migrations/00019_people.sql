-- Who may log in, and who is logged in.

-- +goose Up
CREATE TABLE users (
    -- small letters; a row stays when its user was removed, so that the name is never given again
    name         TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    email        TEXT NOT NULL,
    -- may do everything, everywhere
    admin        BOOLEAN NOT NULL,
    -- what proves the user: local or oidc
    source       TEXT NOT NULL,
    -- of oidc: the provider, and who the user is there
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    -- $argon2id$..., empty for whom no password opens
    password     TEXT NOT NULL,
    -- somebody else knows the password
    must_change  BOOLEAN NOT NULL,
    -- a second factor is asked for; its secret is among the secrets, as totp/NAME
    totp         BOOLEAN NOT NULL,
    -- that of the last code that was taken
    totp_step    BIGINT NOT NULL,
    -- SHA-256 of recovery codes that are left, a JSON list
    recovery     TEXT NOT NULL,
    -- addresses from which the user has logged in, newest first, a JSON list
    known        TEXT NOT NULL,
    created_at   BIGINT,
    created_by   TEXT NOT NULL,
    -- NULL for never, not disabled, not removed
    last_login   BIGINT,
    disabled_at  BIGINT,
    removed_at   BIGINT
);
CREATE UNIQUE INDEX users_subject ON users (issuer, subject) WHERE subject <> '';
CREATE TABLE logins (
    -- login- and 12 characters, never used again
    id         TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret
    hash       TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    -- what has proved the user: local or oidc
    source     TEXT NOT NULL,
    created_at BIGINT,
    -- accurate to a minute
    last_seen  BIGINT,
    -- from where, and the browser as it calls itself
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
);
CREATE UNIQUE INDEX logins_hash ON logins (hash);
