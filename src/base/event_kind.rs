//! The kinds of events that an impression can have, each with its number and its word: the only
//! table of them. The journal stores the numbers; requests, answers, SQL and exports have the
//! words.

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)+) => {
        /// What happened to an impression.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum EventKind {
            $($(#[$doc])* $name = $number,)+
        }

        impl EventKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: [EventKind; 6] = [$(EventKind::$name),+];

            /// The kind with a stored number.
            pub fn from_number(number: u8) -> Option<EventKind> {
                match number {
                    $($number => Some(EventKind::$name),)+
                    _ => None,
                }
            }

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(EventKind::$name => $word,)+
                }
            }

            /// The kind with a word.
            pub fn of_word(word: &str) -> Option<EventKind> {
                match word {
                    $($word => Some(EventKind::$name),)+
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// The decision returned the popup.
    Decided = 0, "decided";
    /// Confirmed on screen.
    Shown = 1, "shown";
    /// Nothing came of it.
    Ignored = 2, "ignored";
    /// Closed by the user.
    Dismissed = 3, "dismissed";
    /// Clicked by the user.
    Clicked = 4, "clicked";
    /// Led to what it was made for.
    Converted = 5, "converted";
}

impl EventKind {
    /// The number that is stored.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_pinned_and_come_back() {
        let words = ["decided", "shown", "ignored", "dismissed", "clicked", "converted"];
        assert_eq!(EventKind::ALL.map(EventKind::word), words);
        for (number, kind) in (0..).zip(EventKind::ALL) {
            assert_eq!(kind.number(), number);
            assert_eq!(EventKind::from_number(number), Some(kind));
            assert_eq!(EventKind::of_word(kind.word()), Some(kind));
        }
        assert_eq!(EventKind::from_number(6), None);
        assert_eq!(EventKind::of_word("Shown"), None);
    }
}
