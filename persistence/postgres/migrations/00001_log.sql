-- +goose Up
CREATE TABLE ysync.documents (
    id                bigint NOT NULL PRIMARY KEY, -- random: no sequence, no hot spot
    document          bytea  NOT NULL UNIQUE,
    generation        bigint NOT NULL,
    epoch             bigint NOT NULL,
    owner             text   NOT NULL,
    head              bigint NOT NULL,
    trimmed           bigint NOT NULL,
    segmented         bigint NOT NULL,
    snapshot_position bigint NOT NULL,
    snapshot_key      text   NOT NULL,
    snapshot_sha256   bytea  NOT NULL,
    previous_position bigint NOT NULL,
    previous_key      text   NOT NULL,
    previous_sha256   bytea  NOT NULL,
    updated_ms        bigint,
    tombstone_ms      bigint,
    seed_key          text   NOT NULL,
    stamp             bigint NOT NULL
) WITH (fillfactor = 60); -- room for the head to move within its page

CREATE TABLE ysync.update_log (
    id         bigint  NOT NULL,
    generation bigint  NOT NULL,
    position   bigint  NOT NULL,
    epoch      bigint  NOT NULL,
    time_ms    bigint  NOT NULL,
    crc        integer NOT NULL,
    author     bytea   NOT NULL,
    data       bytea   NOT NULL,
    PRIMARY KEY (id, generation, position)
);
