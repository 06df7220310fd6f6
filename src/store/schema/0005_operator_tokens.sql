-- Schema 5. Tokens of the admin API that have a name and a role (token_id: 32 hex digits; hash:
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
