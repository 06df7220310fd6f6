-- Schema 1 in the SQL of MySQL 5.7, MariaDB 10.6 and what speaks it; the same tables and names as
-- in SQLite. What is written here is for people to read too.
-- Times are milliseconds since 1970-01-01T00:00:00Z. A revision is (epoch, counter), compared
-- whole; rows of users and user_popups are replaced only by a higher one.
-- Identities are VARBINARY, which compares byte for byte: "A" is not "a", and a trailing space
-- counts, which no collation does that MySQL 5.7 and MariaDB share. They hold UTF-8; a mysql client
-- that shows 0x... shows text with --skip-binary-as-hex.
-- Every statement may run twice: one that was cut off is repeated whole.

CREATE TABLE IF NOT EXISTS schema_version (
    version    INT    NOT NULL PRIMARY KEY,
    applied_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A journal's set id (32 hex digits) or the name of a Redis list (redis:EPOCH:PARTITION), and the
-- small number that stands for it.
CREATE TABLE IF NOT EXISTS streams (
    stream INT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    set_id VARBINARY(64) NOT NULL,
    UNIQUE KEY streams_set_id (set_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Every record of the stream with seq <= off is applied. epoch rises with each process that claims
-- the stream, which fences the one before it.
CREATE TABLE IF NOT EXISTS writer_position (
    stream INT UNSIGNED NOT NULL,
    part   INT UNSIGNED NOT NULL,
    epoch  BIGINT       NOT NULL,
    off    BIGINT       NOT NULL,
    PRIMARY KEY (stream, part)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- User-level clocks. user_hash and session are pinned 64-bit hashes, as signed numbers; session 0
-- is none.
CREATE TABLE IF NOT EXISTS users (
    user_id          VARBINARY(128) NOT NULL PRIMARY KEY,
    user_hash        BIGINT         NOT NULL,
    revision_epoch   INT UNSIGNED   NOT NULL,
    revision_counter BIGINT         NOT NULL,
    last_counted_at  BIGINT         NULL,
    day_shows        INT UNSIGNED   NOT NULL,
    session          BIGINT         NOT NULL,
    session_shows    INT UNSIGNED   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each popup that a user has been shown. state is what the server reads back (the
-- encoded entry), the columns beside it are for people. next_show_at NULL is never; forgotten = 1
-- is a row that the user's state has pushed out: kept for people, not read back. first_* is the
-- revision of the entry's first show and orders a user's entries.
CREATE TABLE IF NOT EXISTS user_popups (
    user_id          VARBINARY(128)  NOT NULL,
    popup_id         VARBINARY(64)   NOT NULL,
    popup_key        BIGINT          NOT NULL,
    shows            INT UNSIGNED    NOT NULL,
    last_shown_at    BIGINT          NULL,
    outcome          VARCHAR(16)     NULL,
    outcome_at       BIGINT          NULL,
    next_show_at     BIGINT          NULL,
    forgotten        TINYINT         NOT NULL,
    first_epoch      INT UNSIGNED    NOT NULL,
    first_counter    BIGINT          NOT NULL,
    revision_epoch   INT UNSIGNED    NOT NULL,
    revision_counter BIGINT          NOT NULL,
    state            VARBINARY(4096) NOT NULL,
    PRIMARY KEY (user_id, popup_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each decision that returned a popup (action 'decided') and for each accepted event.
-- Of an erased user user_id is NULL, and decision is 'erased:' with a hash of what it was.
CREATE TABLE IF NOT EXISTS events (
    stream           INT UNSIGNED   NOT NULL,
    seq              BIGINT         NOT NULL,
    decision         VARBINARY(512) NOT NULL,
    action           VARBINARY(16)  NOT NULL,
    at               BIGINT         NOT NULL,
    acted_at         BIGINT         NOT NULL,
    user_id          VARBINARY(128) NULL,
    popup_id         VARBINARY(64)  NOT NULL,
    version          INT UNSIGNED   NOT NULL,
    variant          VARBINARY(64)  NOT NULL,
    revision_epoch   INT UNSIGNED   NOT NULL,
    revision_counter BIGINT         NOT NULL,
    PRIMARY KEY (stream, seq),
    UNIQUE KEY events_decision (decision, action),
    KEY events_user (user_id, at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Counts per popup, variant and hour (its first millisecond); readers sum over stream and part. A
-- row of part 1 is a whole UTC day, which the hours of 90 days ago and more are added up to.
CREATE TABLE IF NOT EXISTS popup_stats (
    popup_id  VARBINARY(64) NOT NULL,
    variant   VARBINARY(64) NOT NULL,
    hour      BIGINT        NOT NULL,
    stream    INT UNSIGNED  NOT NULL,
    part      INT UNSIGNED  NOT NULL,
    decided   BIGINT        NOT NULL,
    shown     BIGINT        NOT NULL,
    ignored   BIGINT        NOT NULL,
    dismissed BIGINT        NOT NULL,
    clicked   BIGINT        NOT NULL,
    converted BIGINT        NOT NULL,
    PRIMARY KEY (popup_id, variant, hour, stream, part)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Tombstones: records of the user up to this revision are dropped on arrival.
CREATE TABLE IF NOT EXISTS erased_users (
    user_hash        BIGINT       NOT NULL PRIMARY KEY,
    revision_epoch   INT UNSIGNED NOT NULL,
    revision_counter BIGINT       NOT NULL,
    erased_at        BIGINT       NOT NULL,
    KEY erased_users_erased_at (erased_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The truth of the catalog. origin is 'file' or 'api'; archived_at is set while an id that came
-- from the file is gone from it.
CREATE TABLE IF NOT EXISTS popups (
    popup_id    VARBINARY(64) NOT NULL PRIMARY KEY,
    popup_key   BIGINT        NOT NULL,
    version     INT UNSIGNED  NOT NULL,
    origin      VARCHAR(8)    NOT NULL,
    definition  LONGTEXT      NOT NULL,
    archived_at BIGINT        NULL,
    UNIQUE KEY popups_popup_key (popup_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who changed what and when; `change` is created, changed, rolled_back, archived, returned, released
-- or override. diff is {"member": [before, after]} of what differs. definition is empty where the
-- line made none: it is that of the version, in an earlier line.
CREATE TABLE IF NOT EXISTS popup_history (
    id         BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    popup_id   VARBINARY(64) NOT NULL,
    version    INT UNSIGNED  NOT NULL,
    `change`   VARCHAR(16)   NOT NULL,
    at         BIGINT        NOT NULL,
    who        VARCHAR(255)  NOT NULL,
    diff       LONGTEXT      NOT NULL,
    definition LONGTEXT      NOT NULL,
    KEY popup_history_popup (popup_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The status that an operator set, which wins over the definition's.
CREATE TABLE IF NOT EXISTS popup_overrides (
    popup_id VARBINARY(64) NOT NULL PRIMARY KEY,
    status   VARCHAR(16)   NOT NULL,
    who      VARCHAR(255)  NOT NULL,
    at       BIGINT        NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rises by one in the transaction of each change of the catalog; one row, which changes lock first.
CREATE TABLE IF NOT EXISTS catalog_version (
    id      TINYINT NOT NULL PRIMARY KEY,
    version BIGINT  NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Keys of decision tokens, shared by all nodes.
CREATE TABLE IF NOT EXISTS signing_keys (
    id         INT UNSIGNED  NOT NULL PRIMARY KEY,
    created_at BIGINT        NOT NULL,
    secret     VARBINARY(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The highest epoch that an arbiter of users' states was given; one row.
CREATE TABLE IF NOT EXISTS arbiter (
    id    TINYINT      NOT NULL PRIMARY KEY,
    epoch INT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- When each node was last seen, by the server's clock.
CREATE TABLE IF NOT EXISTS nodes (
    stream  INT UNSIGNED   NOT NULL PRIMARY KEY,
    name    VARBINARY(128) NOT NULL,
    seen_at BIGINT         NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO catalog_version (id, version) VALUES (1, 0) ON DUPLICATE KEY UPDATE version = version;

INSERT INTO arbiter (id, epoch) VALUES (1, 0) ON DUPLICATE KEY UPDATE epoch = epoch;
