-- Schema 4. What a popup is to become: a pending definition beside the live one, or for an id that
-- has none yet. at and who are of the latest change of it. Publishing it makes a version of it and
-- takes the row away.
CREATE TABLE IF NOT EXISTS popup_drafts (
    popup_id   VARBINARY(64) NOT NULL PRIMARY KEY,
    definition LONGTEXT      NOT NULL,
    at         BIGINT        NOT NULL,
    who        VARCHAR(255)  NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Decisions of the hour that had a first click, dismissal or conversion, whenever that came: those
-- of `decided` that are old enough and not among them were ignored. NULL where a version before
-- this schema counted.
ALTER TABLE popup_stats ADD COLUMN answered BIGINT NULL;

-- Tokens of the admin API that have a name and a role (token_id: 32 hex digits; hash:
-- SHA-256 of the token, in hex; role: 'viewer', 'editor', 'operator' or 'admin'). A row that has
-- ended was revoked; it stays for good, so that whoever still knows the token learns of its end.
CREATE TABLE IF NOT EXISTS operator_tokens (
    token_id VARBINARY(32) NOT NULL PRIMARY KEY,
    name     VARCHAR(255)  NOT NULL,
    role     VARBINARY(16) NOT NULL,
    hash     VARBINARY(64) NOT NULL,
    at       BIGINT        NOT NULL,
    who      VARCHAR(255)  NOT NULL,
    ended_at BIGINT        NULL,
    ended_by VARCHAR(255)  NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
