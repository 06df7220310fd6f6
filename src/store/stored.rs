//! What the store hands out: results of a transaction, the catalog as it is stored, and rows for
//! people. Plain values; must not know statements.

pub use nudged_background::projection::stats::StatUsers;
use nudged_base::ids::Sequence;
pub use nudged_base::ids::StreamId;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::Override;
use nudged_journal::record::Record;

/// What a call of `apply` did with its records: the four counts add up to all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records that took effect.
    pub records: usize,
    /// Records whose (decision, action) was there already; their states count by revision.
    pub duplicates: usize,
    /// Records at or below the position.
    pub skipped: usize,
    /// Records in the dead-letter file.
    pub rejected: usize,
}

impl Applied {
    /// Adds what another transaction did.
    pub fn add(&mut self, other: Applied) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
    }
}

/// Records of one stream, in ascending order of sequence.
#[derive(Clone, Copy, Debug)]
pub struct RecordRun<'a> {
    /// The stream, which this process has claimed.
    pub stream: StreamId,
    /// Whether sequences rise by one, so that one that is missing is an error: a journal's do, a
    /// list's do not.
    pub is_dense: bool,
    /// The records.
    pub records: &'a [(Sequence, Record<'a>)],
}

/// A node of a shared store that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// The stream of its journal.
    pub stream: StreamId,
    /// What it calls itself.
    pub name: String,
    /// How long ago it was last seen, in milliseconds, by the server's clock.
    pub silent_ms: u64,
}

/// A popup as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPopup {
    /// Its id.
    pub id: String,
    /// Rises by one with each changed text, from 1.
    pub version: u32,
    /// The definition, canonical JSON.
    pub text: String,
    /// Who owns the definition.
    pub origin: PopupOrigin,
    /// Gone from the file, or deleted: made again, it goes on where it was.
    pub is_gone: bool,
}

impl StoredPopup {
    /// Whether the popups file owns the id, so that the admin API may not change it.
    pub fn is_in_file(&self) -> bool {
        self.origin == PopupOrigin::File && !self.is_gone
    }
}

/// A pending definition of a popup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDraft {
    /// The popup's id; there may be no popup of it yet.
    pub id: String,
    /// The definition, canonical JSON.
    pub text: String,
    /// The popup's version that it was made from: 0 where there was no popup, `None` where that is
    /// not known.
    pub base_version: Option<u32>,
    /// When it was put: another time with each change, so that it stands for the draft's revision.
    pub at: WallMs,
    /// By whom.
    pub who: String,
}

impl StoredDraft {
    /// What tells it from the drafts that the popup had before.
    pub fn revision(&self) -> u64 {
        u64::try_from(self.at.0).unwrap_or(0)
    }
}

/// What came of putting a draft, or of taking one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftChange {
    /// It is done; the draft as it is stored, or was.
    Done {
        /// The draft.
        draft: StoredDraft,
        /// Whether the popup had none before.
        is_new: bool,
    },
    /// It is not done: the popup has another draft than it is meant for, this one if any.
    Other(Option<StoredDraft>),
    /// It is not done: there are too many drafts.
    TooMany,
}

/// Every popup that was ever stored, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCatalog {
    /// Rises by one with each change of any popup.
    pub version: u64,
    /// The popups, sorted by id.
    pub popups: Vec<StoredPopup>,
    /// The pauses and archives that stand, and the latest 1,000 that have ended, sorted by id.
    pub overrides: Vec<Override>,
}

/// A popup that an upgrade of the schema has stopped: an operator had set it live, which no
/// override does any more, and its own status is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its id.
    pub id: String,
    /// Its own status.
    pub status: String,
    /// Whether that is set in the popups file.
    pub is_in_file: bool,
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Dropped { id, status, is_in_file } = self;
        let place = match is_in_file {
            true => "the popups file: change it there and reload".to_owned(),
            false => format!("its definition: PUT /v1/popups/{id}"),
        };
        write!(
            out,
            "popup \"{id}\" is now {status}, since a status \"live\" set by an operator no longer \
             applies; its own status is set in {place}"
        )
    }
}

/// Who owns a popup's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopupOrigin {
    /// The popups file; the admin API may not change it.
    File,
    /// The admin API; an import leaves it alone unless the file has the same id.
    Api,
}

impl PopupOrigin {
    /// The word of the tables and of the API.
    pub fn word(self) -> &'static str {
        match self {
            PopupOrigin::File => "file",
            PopupOrigin::Api => "api",
        }
    }

    /// The owner of a word; a word that is none is the file's, which the API leaves alone.
    pub(super) fn of_word(word: &str) -> PopupOrigin {
        if word == "api" { PopupOrigin::Api } else { PopupOrigin::File }
    }
}

/// A key of decision tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Names the key within the tokens that it signed; another one may have the same id.
    pub id: u32,
    /// When it was made.
    pub created_at: WallMs,
    /// Its random bytes.
    pub secret: [u8; 32],
    /// When it came from another store: it does not sign here.
    pub moved_at: Option<WallMs>,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoredKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a line of history can say was done.
pub const HISTORY_CHANGES: [&str; 10] = [
    "created",
    "changed",
    "rolled_back",
    "published",
    "archived",
    "returned",
    "released",
    "override",
    "drafted",
    "draft_deleted",
];

/// One change of a popup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its place among all changes: later ones are higher.
    pub number: u64,
    /// The version after the change.
    pub version: u32,
    /// One of [`HISTORY_CHANGES`].
    pub change: String,
    /// When.
    pub at: WallMs,
    /// Who.
    pub who: String,
    /// `{"member": [before, after]}` of what differs.
    pub diff: String,
    /// The definition after the change, where that made it; else it is the version's.
    pub text: Option<String>,
}

/// A row of `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number that its database has for the record's stream.
    pub stream: u32,
    /// The record.
    pub sequence: Sequence,
    /// The decision's token, or what stands for it.
    pub decision: String,
    /// `decided`, or the event's action.
    pub action: String,
    /// The time of the change.
    pub at: WallMs,
    /// The event's own time.
    pub acted_at: WallMs,
    /// The user; `None` where erased.
    pub user: Option<String>,
    /// The popup's id.
    pub popup: String,
    /// Its version at the decision.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: String,
    /// The user's revision after the change, as its two columns.
    pub revision: (u32, i64),
}

/// Counts of a popup's variant in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatRow {
    /// The popup's id.
    pub popup: String,
    /// The variant's key; empty for none.
    pub variant: String,
    /// The first millisecond of the hour, or of the day.
    pub hour: WallMs,
    /// It is a whole UTC day.
    pub is_day: bool,
    /// Decided, shown, ignored, dismissed, clicked, converted.
    pub counts: [u64; 6],
    /// Decisions of the hour that were clicked, dismissed or converted at any time; `None` where a
    /// version that did not count them took part.
    pub answered: Option<u64>,
}
