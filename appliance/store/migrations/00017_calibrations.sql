-- What services were measured to do on their devices: of each service, revision and device the newest.

-- +goose Up
CREATE TABLE calibrations (
    -- services.id; what is gone is kept too, for others of its model
    service_id TEXT   NOT NULL,
    revision   BIGINT NOT NULL,
    -- "2 x NVIDIA H200"; '' for none
    device     TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    -- JSON of calibrate.Calibration
    body       TEXT   NOT NULL,
    PRIMARY KEY (service_id, revision, device)
);
