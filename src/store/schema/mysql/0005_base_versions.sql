-- Schema 5. The version that the popup had when its draft was made from it: 0 where there was none,
-- NULL where a version before this schema put the draft. A draft's revision is its `at`, which is
-- another one with each change.
ALTER TABLE popup_drafts ADD COLUMN base_version INT UNSIGNED NULL;

-- Counts of the last hours, of whichever popups.
ALTER TABLE popup_stats ADD KEY popup_stats_hour (hour, popup_id);
