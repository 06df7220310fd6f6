//! What requests that say the same match: kept beside their words, so that targets are asked once
//! for all users of whom the same is said. Owns for how long that holds: until the words of a place
//! are others, or the catalog is. Knows nothing of targets.

use std::cell::Cell;

use nudged_api::repeated::KnownWords;
use nudged_base::limits::REPEATED_REQUESTS_MAX;
use nudged_domain::decide::audience::Audience;

/// An audience for each place of words.
#[derive(Debug)]
pub(crate) struct Audiences {
    by_place: Vec<Cell<WordsAudience>>,
}

/// Whose audience it is, and what it is: `None` where there is none to be kept.
#[derive(Clone, Copy, Debug, Default)]
struct WordsAudience {
    words: Option<KnownWords>,
    audience: Option<Audience>,
}

impl Default for Audiences {
    fn default() -> Audiences {
        Audiences { by_place: vec![Cell::default(); REPEATED_REQUESTS_MAX] }
    }
}

impl Audiences {
    /// The audience of some words, which `make` makes of them where it is not known.
    #[inline]
    pub(crate) fn of(
        &self,
        words: KnownWords,
        make: impl FnOnce() -> Option<Audience>,
    ) -> Option<Audience> {
        let place = &self.by_place[words.place()];
        let known = place.get();
        if known.words == Some(words) {
            return known.audience;
        }
        let audience = make();
        place.set(WordsAudience { words: Some(words), audience });
        audience
    }

    /// Another catalog is current: nothing is known of it.
    pub(crate) fn forget(&mut self) {
        self.by_place.fill(Cell::default());
    }
}
