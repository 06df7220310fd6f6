// What was done to a popup, its draft or a token, in the words of who did it.

/** Each word of the node's audit; those of `AuditEntry` in `openapi.json`, which a test holds. */
export const CHANGES: Readonly<Record<string, string>> = {
  created: 'Made',
  changed: 'Changed',
  published: 'Published',
  rolled_back: 'Rolled back',
  archived: 'Archived',
  returned: 'Brought back',
  released: 'Taken from the popups file',
  paused: 'Paused',
  resumed: 'Resumed',
  drafted: 'Draft kept',
  draft_deleted: 'Draft deleted',
  made: 'Made',
  revoked: 'Revoked',
};
