-- Schema 1. The same tables and names as in MySQL; what is written here is for people to read too.
-- Times are milliseconds since 1970-01-01T00:00:00Z. A revision is (epoch, counter), compared
-- whole; rows of users and user_popups are replaced only by a higher one. TEXT columns compare
-- byte for byte (COLLATE BINARY: "A" is not "a", and a trailing space counts).

CREATE TABLE schema_version (
    version    INTEGER NOT NULL PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT;

-- A journal's set id (32 hex digits), and the small number that stands for it.
CREATE TABLE streams (
    stream INTEGER NOT NULL PRIMARY KEY,
    set_id TEXT NOT NULL COLLATE BINARY UNIQUE
) STRICT;

-- Every record of the stream with seq <= off is applied. epoch rises with each process that claims
-- the stream, which fences the one before it.
CREATE TABLE writer_position (
    stream INTEGER NOT NULL,
    part   INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    off    INTEGER NOT NULL,
    PRIMARY KEY (stream, part)
) STRICT, WITHOUT ROWID;

-- User-level clocks. user_hash and session are pinned 64-bit hashes, as signed numbers; session 0
-- is none.
CREATE TABLE users (
    user_id          TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
    user_hash        INTEGER NOT NULL,
    revision_epoch   INTEGER NOT NULL,
    revision_counter INTEGER NOT NULL,
    last_counted_at  INTEGER,
    day_shows        INTEGER NOT NULL,
    session          INTEGER NOT NULL,
    session_shows    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each popup that a user has been shown. state is what the server reads back (the
-- encoded entry), the columns beside it are for people. next_show_at NULL is never; forgotten = 1
-- is a row that the user's state has pushed out: kept for people, not read back. first_* is the
-- revision of the entry's first show and orders a user's entries.
CREATE TABLE user_popups (
    user_id          TEXT NOT NULL COLLATE BINARY,
    popup_id         TEXT NOT NULL COLLATE BINARY,
    popup_key        INTEGER NOT NULL,
    shows            INTEGER NOT NULL,
    last_shown_at    INTEGER,
    outcome          TEXT,
    outcome_at       INTEGER,
    next_show_at     INTEGER,
    forgotten        INTEGER NOT NULL,
    first_epoch      INTEGER NOT NULL,
    first_counter    INTEGER NOT NULL,
    revision_epoch   INTEGER NOT NULL,
    revision_counter INTEGER NOT NULL,
    state            BLOB NOT NULL,
    PRIMARY KEY (user_id, popup_id)
) STRICT, WITHOUT ROWID;

-- One row for each decision that returned a popup (action 'decided') and for each accepted event.
-- Of an erased user user_id is NULL, and decision is 'erased:' with a hash of what it was.
CREATE TABLE events (
    stream           INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    decision         TEXT NOT NULL COLLATE BINARY,
    action           TEXT NOT NULL COLLATE BINARY,
    at               INTEGER NOT NULL,
    acted_at         INTEGER NOT NULL,
    user_id          TEXT COLLATE BINARY,
    popup_id         TEXT NOT NULL COLLATE BINARY,
    version          INTEGER NOT NULL,
    variant          TEXT NOT NULL COLLATE BINARY,
    revision_epoch   INTEGER NOT NULL,
    revision_counter INTEGER NOT NULL,
    PRIMARY KEY (stream, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_decision ON events (decision, action);
CREATE INDEX events_user ON events (user_id, at) WHERE user_id IS NOT NULL;

-- Counts per popup, variant and hour (its first millisecond); readers sum over stream and part. A
-- row of part 1 is a whole UTC day, which the hours of 90 days ago and more are added up to.
CREATE TABLE popup_stats (
    popup_id  TEXT NOT NULL COLLATE BINARY,
    variant   TEXT NOT NULL COLLATE BINARY,
    hour      INTEGER NOT NULL,
    stream    INTEGER NOT NULL,
    part      INTEGER NOT NULL,
    decided   INTEGER NOT NULL,
    shown     INTEGER NOT NULL,
    ignored   INTEGER NOT NULL,
    dismissed INTEGER NOT NULL,
    clicked   INTEGER NOT NULL,
    converted INTEGER NOT NULL,
    PRIMARY KEY (popup_id, variant, hour, stream, part)
) STRICT, WITHOUT ROWID;

-- Tombstones: records of the user up to this revision are dropped on arrival.
CREATE TABLE erased_users (
    user_hash        INTEGER NOT NULL PRIMARY KEY,
    revision_epoch   INTEGER NOT NULL,
    revision_counter INTEGER NOT NULL,
    erased_at        INTEGER NOT NULL
) STRICT;

-- The truth of the catalog. origin is 'file' or 'api'; archived_at is set while an id that came
-- from the file is gone from it.
CREATE TABLE popups (
    popup_id    TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
    popup_key   INTEGER NOT NULL UNIQUE,
    version     INTEGER NOT NULL,
    origin      TEXT NOT NULL,
    definition  TEXT NOT NULL,
    archived_at INTEGER
) STRICT, WITHOUT ROWID;

-- Who changed what and when; change is created, changed, rolled_back, archived, returned, released
-- or override. diff is {"member": [before, after]} of what differs. definition is empty where the
-- line made none: it is that of the version, in an earlier line.
CREATE TABLE popup_history (
    id         INTEGER NOT NULL PRIMARY KEY,
    popup_id   TEXT NOT NULL COLLATE BINARY,
    version    INTEGER NOT NULL,
    change     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    who        TEXT NOT NULL,
    diff       TEXT NOT NULL,
    definition TEXT NOT NULL
) STRICT;
CREATE INDEX popup_history_popup ON popup_history (popup_id, id);

-- The status that an operator set, which wins over the definition's.
CREATE TABLE popup_overrides (
    popup_id TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
    status   TEXT NOT NULL,
    who      TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys of decision tokens, for stores that several nodes share; an embedded node keeps its keys in
-- a file of its own.
CREATE TABLE signing_keys (
    id         INTEGER NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    secret     BLOB NOT NULL
) STRICT;
