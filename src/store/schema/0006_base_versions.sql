-- Schema 6. The version that the popup had when its draft was made from it: 0 where there was none,
-- NULL where a version before this schema put the draft. A draft's revision is its `at`, which is
-- another one with each change.
ALTER TABLE popup_drafts ADD COLUMN base_version INTEGER;

-- Counts of the last hours, of whichever popups.
CREATE INDEX popup_stats_hour ON popup_stats (hour, popup_id);

-- The distinct users of a row: whom the popup was decided for, and who clicked, as sketches
-- (docs/decisions.md, 32). They hold no id. NULL where there is nobody, or where a version before this
-- schema counted.
ALTER TABLE popup_stats ADD COLUMN users_decided BLOB;
ALTER TABLE popup_stats ADD COLUMN users_clicked BLOB;
