-- Schema 2. Each pause and archive of an operator is an entry with an id of its own (32 hex
-- digits). It stands, and wins over the popup's own status, until a resume ends it by its id; a row
-- that has ended stays for good, so that whoever still knows the entry learns of its end. kind is
-- 'pause' or 'archive'.
CREATE TABLE IF NOT EXISTS override_entries (
    entry_id VARBINARY(32) NOT NULL PRIMARY KEY,
    popup_id VARBINARY(64) NOT NULL,
    kind     VARBINARY(8)  NOT NULL,
    at       BIGINT        NOT NULL,
    who      VARCHAR(255)  NOT NULL,
    ended_at BIGINT        NULL,
    ended_by VARCHAR(255)  NULL,
    KEY override_entries_ended (ended_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Gone already where an upgrade was cut off behind the last statement of this file.
CREATE TABLE IF NOT EXISTS popup_overrides (
    popup_id VARBINARY(64) NOT NULL PRIMARY KEY,
    status   VARCHAR(16)   NOT NULL,
    who      VARCHAR(255)  NOT NULL,
    at       BIGINT        NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The same ids however often it runs.
INSERT INTO override_entries (entry_id, popup_id, kind, at, who)
SELECT LEFT(SHA2(CONCAT('popup_overrides:', popup_id, ':', at), 256), 32), popup_id,
       IF(status = 'archived', 'archive', 'pause'), at, who
FROM popup_overrides WHERE status IN ('paused', 'archived')
ON DUPLICATE KEY UPDATE entry_id = VALUES(entry_id);

-- An override makes no popup live any more: these end here, and their popups' own status holds.
INSERT INTO popup_history (popup_id, version, `change`, at, who, diff, definition)
SELECT popups.popup_id, popups.version, 'override', CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED),
       'schema upgrade', CONCAT('{"status":["', status, '",null]}'), popups.definition
FROM popups JOIN popup_overrides ON popup_overrides.popup_id = popups.popup_id
WHERE status NOT IN ('paused', 'archived') AND NOT EXISTS (
    SELECT 1 FROM popup_history AS told
    WHERE told.popup_id = popups.popup_id AND told.who = 'schema upgrade');

DROP TABLE IF EXISTS popup_overrides;
