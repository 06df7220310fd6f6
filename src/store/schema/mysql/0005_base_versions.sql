-- Schema 5. The version that the popup had when its draft was made from it: 0 where there was none,
-- NULL where a version before this schema put the draft. A draft's revision is its `at`, which is
-- another one with each change.
ALTER TABLE popup_drafts ADD COLUMN base_version INT UNSIGNED NULL;

-- Counts of the last hours, of whichever popups.
ALTER TABLE popup_stats ADD KEY popup_stats_hour (hour, popup_id);

-- The distinct users of a row: whom the popup was decided for, and who clicked, as sketches
-- (docs/decisions.md, 32). They hold no id. NULL where there is nobody, or where a version before this
-- schema counted.
ALTER TABLE popup_stats ADD COLUMN users_decided VARBINARY(1537) NULL;
ALTER TABLE popup_stats ADD COLUMN users_clicked VARBINARY(1537) NULL;
