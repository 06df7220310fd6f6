-- Schema 3. Keys of decision tokens, by id and time of making: every data directory's first key has
-- id 1. moved_at is when a key came from another store; such a one never signs and verifies for 8
-- days from then. Not every server takes a primary key away from a table, so its rows go out and in
-- again; cut off anywhere and begun anew it loses none.
CREATE TABLE IF NOT EXISTS signing_keys_copy (
    id         INT UNSIGNED  NOT NULL PRIMARY KEY,
    created_at BIGINT        NOT NULL,
    secret     VARBINARY(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Gone where it was cut off behind the statement that takes it away.
CREATE TABLE IF NOT EXISTS signing_keys (
    id         INT UNSIGNED  NOT NULL PRIMARY KEY,
    created_at BIGINT        NOT NULL,
    secret     VARBINARY(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO signing_keys_copy (id, created_at, secret)
SELECT id, created_at, secret FROM signing_keys ON DUPLICATE KEY UPDATE id = VALUES(id);

DROP TABLE IF EXISTS signing_keys;

CREATE TABLE IF NOT EXISTS signing_keys (
    id         INT UNSIGNED  NOT NULL,
    created_at BIGINT        NOT NULL,
    secret     VARBINARY(64) NOT NULL,
    moved_at   BIGINT        NULL,
    PRIMARY KEY (id, created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO signing_keys (id, created_at, secret)
SELECT id, created_at, secret FROM signing_keys_copy ON DUPLICATE KEY UPDATE id = VALUES(id);

DROP TABLE IF EXISTS signing_keys_copy;
