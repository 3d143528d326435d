-- +goose Up
CREATE TABLE ysync.nodes (
    boot text        NOT NULL PRIMARY KEY,
    info bytea       NOT NULL,
    beat timestamptz NOT NULL -- when the process last said that it lives
) WITH (fillfactor = 50);
