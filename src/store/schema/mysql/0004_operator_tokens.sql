-- Schema 4. Tokens of the admin API that have a name and a role (token_id: 32 hex digits; hash:
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
