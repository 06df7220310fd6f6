-- Schema 7. From when on a token of the admin API lets nobody in; NULL for never.
ALTER TABLE operator_tokens ADD COLUMN expires_at INTEGER;
