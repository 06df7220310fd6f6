//! The end of an entry that nodes join by union: of a pause or an archive (`catalog::overrides`),
//! of an operator's token (`operators`). An end wins, and of two the earlier one.

use nudged_base::time::WallMs;

/// When and by whom an entry was ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    /// When it was ended.
    pub at: WallMs,
    /// By whom.
    pub who: Box<str>,
}

impl Ended {
    /// What two nodes know of one entry's end, together.
    pub(crate) fn join(one: Option<Ended>, other: Option<Ended>) -> Option<Ended> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}
