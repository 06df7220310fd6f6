//! Which live popups of a placement are for a request, as far as their targets say. That depends on
//! the catalog, the placement and the request's attributes alone: not on its user, nor on time. So
//! who knows these to be the same need not ask again, whoever the user is.
//!
//! Limits: [`AUDIENCE_POPUPS_MAX`] popups of a placement without pivots; in others a request looks
//! only at a few.

use super::context::Context;
use super::target::{self, RequestAttributes};
use crate::catalog::snapshot::Snapshot;

/// One bit each.
const AUDIENCE_POPUPS_MAX: usize = 64;

/// The places of a placement's popups whose targets match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience(u64);

impl Audience {
    /// What a request with these attributes matches in its placement. `None` where there are no
    /// popups, or too many. Does not allocate.
    pub fn of(snapshot: &Snapshot, context: &Context<'_>) -> Option<Audience> {
        let placement = snapshot.placement(context.placement)?;
        if !placement.pivots.is_empty() || placement.live.len() > AUDIENCE_POPUPS_MAX {
            return None;
        }
        let mut attributes = RequestAttributes::new(context.attributes);
        let bits = placement.live.iter().enumerate().map(|(place, index)| {
            u64::from(target::matches(&snapshot.targets, *index, &mut attributes)) << place
        });
        Some(Audience(bits.fold(0, |all, bit| all | bit)))
    }

    /// Whether the popup at a place is among them.
    #[inline]
    pub(super) fn has(self, place: u32) -> bool {
        self.0 >> (place % 64) & 1 == 1
    }
}
