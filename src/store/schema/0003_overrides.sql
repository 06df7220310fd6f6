-- Schema 3. Each pause and archive of an operator is an entry with an id of its own (32 hex
-- digits). It stands, and wins over the popup's own status, until a resume ends it by its id; a row
-- that has ended stays for good, so that whoever still knows the entry learns of its end. kind is
-- 'pause' or 'archive'.
CREATE TABLE override_entries (
    entry_id TEXT    NOT NULL COLLATE BINARY PRIMARY KEY,
    popup_id TEXT    NOT NULL COLLATE BINARY,
    kind     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    who      TEXT    NOT NULL,
    ended_at INTEGER,
    ended_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX override_entries_ended ON override_entries (ended_at);

INSERT INTO override_entries (entry_id, popup_id, kind, at, who)
SELECT lower(hex(randomblob(16))), popup_id,
       CASE status WHEN 'archived' THEN 'archive' ELSE 'pause' END, at, who
FROM popup_overrides WHERE status IN ('paused', 'archived');

-- An override makes no popup live any more: these end here, and their popups' own status holds.
INSERT INTO popup_history (popup_id, version, change, at, who, diff, definition)
SELECT popups.popup_id, version, 'override', CAST(unixepoch('subsec') * 1000 AS INTEGER),
       'schema upgrade', '{"status":["' || status || '",null]}', definition
FROM popups JOIN popup_overrides ON popup_overrides.popup_id = popups.popup_id
WHERE status NOT IN ('paused', 'archived');

DROP TABLE popup_overrides;
