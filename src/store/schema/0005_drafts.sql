-- Schema 5. What a popup is to become: a pending definition beside the live one, or for an id that
-- has none yet. at and who are of the latest change of it. Publishing it makes a version of it and
-- takes the row away.
CREATE TABLE popup_drafts (
    popup_id   TEXT    NOT NULL COLLATE BINARY PRIMARY KEY,
    definition TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    who        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Decisions of the hour that had a first click, dismissal or conversion, whenever that came: those
-- of `decided` that are old enough and not among them were ignored. NULL where a version before
-- this schema counted.
ALTER TABLE popup_stats ADD COLUMN answered INTEGER;

-- Tokens of the admin API that have a name and a role (token_id: 32 hex digits; hash:
-- SHA-256 of the token, in hex; role: 'viewer', 'editor', 'operator' or 'admin'). A row that has
-- ended was revoked; it stays for good, so that whoever still knows the token learns of its end.
CREATE TABLE operator_tokens (
    token_id TEXT    NOT NULL COLLATE BINARY PRIMARY KEY,
    name     TEXT    NOT NULL,
    role     TEXT    NOT NULL,
    hash     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    who      TEXT    NOT NULL,
    ended_at INTEGER,
    ended_by TEXT
) STRICT, WITHOUT ROWID;
