-- What was left of users and projects that were removed: from now on it goes with them.

-- +goose Up
DELETE FROM project_members WHERE person IN (SELECT name FROM users WHERE removed_at IS NOT NULL) OR project IN (SELECT name FROM projects WHERE removed_at IS NOT NULL);
DELETE FROM limits WHERE kind = 'user' AND name IN (SELECT name FROM users WHERE removed_at IS NOT NULL);
DELETE FROM limits WHERE kind = 'project' AND name IN (SELECT name FROM projects WHERE removed_at IS NOT NULL);
DELETE FROM logins WHERE user_name IN (SELECT name FROM users WHERE removed_at IS NOT NULL);
