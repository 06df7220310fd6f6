-- Schema 4. Keys of decision tokens, by id and time of making: every data directory's first key has
-- id 1. moved_at is when a key came from another store; such a one never signs and verifies for 8
-- days from then. The table was empty before: keys were in a file alone.
DROP TABLE signing_keys;
CREATE TABLE signing_keys (
    id         INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    secret     BLOB    NOT NULL,
    moved_at   INTEGER,
    PRIMARY KEY (id, created_at)
) STRICT, WITHOUT ROWID;
