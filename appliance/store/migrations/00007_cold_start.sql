-- Who set the number of a service's routes, and how long routes took to come up.

-- +goose Up
-- a person's name; '' where the autoscaler set it, or nobody since the service was made
ALTER TABLE services ADD COLUMN scaled_by TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN scaled_at BIGINT;

-- How long what a service runs took from its start to its first passing probe. The newest ten of each key and device.
CREATE TABLE load_times (
    key     TEXT   NOT NULL, -- stands for all that decides it but the device: image, folder, variant, resources, launch
    device  TEXT   NOT NULL, -- "NVIDIA H200"; '' for none
    at      BIGINT NOT NULL, -- of the probe
    took    BIGINT NOT NULL, -- nanoseconds
    image   TEXT   NOT NULL,
    folder  TEXT   NOT NULL, -- id; '' for none
    variant TEXT   NOT NULL,
    PRIMARY KEY (key, device, at)
);
