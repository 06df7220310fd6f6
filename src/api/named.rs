//! A table of cases, and of the names by which clients see them.

/// Declares an enum each of whose cases has the name behind it.
macro_rules! named {
    (
        $(#[$of_enum:meta])*
        pub enum $Enum:ident { $($(#[$of_case:meta])* $Case:ident = $name:literal,)* }
    ) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Enum { $($(#[$of_case])* $Case,)* }

        impl $Enum {
            /// Every case, in the order of their numbers.
            pub const ALL: &'static [$Enum] = &[$($Enum::$Case,)*];

            /// The name, as clients see it.
            pub fn name(self) -> &'static str {
                match self { $($Enum::$Case => $name,)* }
            }
        }
    };
}
