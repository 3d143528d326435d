-- +goose Up
-- The row counts rulings; its lock puts them in the order of their versions.
CREATE TABLE ysync.ruled (
    one     boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    version bigint  NOT NULL
);
INSERT INTO ysync.ruled (version) VALUES (0);
CREATE TABLE ysync.rulings (
    key     bytea       NOT NULL PRIMARY KEY, -- what it is on
    version bigint      NOT NULL,
    ends    timestamptz NOT NULL,
    ruling  bytea       NOT NULL
);
CREATE INDEX rulings_version ON ysync.rulings (version);
