//! What happens to an impression, with its number and its word: the only table of them. The
//! journal stores the numbers; requests, answers, SQL and exports have the words.

macro_rules! happenings {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)+) => {
        /// What happened to an impression.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Happening {
            $($(#[$doc])* $name = $number,)+
        }

        impl Happening {
            /// Every happening, in the order of their numbers.
            pub const ALL: [Happening; 6] = [$(Happening::$name),+];

            /// The happening of a stored number.
            pub fn from_number(number: u8) -> Option<Happening> {
                match number {
                    $($number => Some(Happening::$name),)+
                    _ => None,
                }
            }

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Happening::$name => $word,)+
                }
            }

            /// The happening of a word.
            pub fn of_word(word: &str) -> Option<Happening> {
                match word {
                    $($word => Some(Happening::$name),)+
                    _ => None,
                }
            }
        }
    };
}

happenings! {
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

impl Happening {
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
        assert_eq!(Happening::ALL.map(Happening::word), words);
        for (number, happening) in (0..).zip(Happening::ALL) {
            assert_eq!(happening.number(), number);
            assert_eq!(Happening::from_number(number), Some(happening));
            assert_eq!(Happening::of_word(happening.word()), Some(happening));
        }
        assert_eq!(Happening::from_number(6), None);
        assert_eq!(Happening::of_word("Shown"), None);
    }
}
