//! What happens to an impression, with its number and its word: the only table of them. The
//! journal stores the numbers; requests, answers, SQL and exports have the words.

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)+) => {
        /// What happened to an impression.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum EventKind {
            $($(#[$doc])* $name = $number,)+
        }

        impl EventKind {
            /// Every kind of event, in the order of their numbers.
            pub const ALL: [EventKind; 6] = [$(EventKind::$name),+];

            /// The kind of event of a stored number.
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

            /// The kind of event of a word.
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
        for (number, event_kind) in (0..).zip(EventKind::ALL) {
            assert_eq!(event_kind.number(), number);
            assert_eq!(EventKind::from_number(number), Some(event_kind));
            assert_eq!(EventKind::of_word(event_kind.word()), Some(event_kind));
        }
        assert_eq!(EventKind::from_number(6), None);
        assert_eq!(EventKind::of_word("Shown"), None);
    }
}
