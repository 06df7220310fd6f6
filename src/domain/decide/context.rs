//! What a decision is told of the request.

/// A request as the domain sees it. Borrowed from the request's bytes or from per-turn scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// Where the popup would appear.
    pub placement: &'a str,
    /// The user's session, if the client has one.
    pub session: Option<&'a str>,
    /// The wanted locale, as given.
    pub locale: Option<&'a str>,
    /// The user's zone, as given; unknown ones count as UTC.
    pub tz: Option<&'a str>,
    /// Attributes in the order given; names are unique.
    pub attributes: &'a [(&'a str, AttributeValue<'a>)],
}

/// The value of an attribute. A JSON null is an absent attribute and never gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// A text, number or boolean, as it stands in the request. A rule reads it as its own value's
    /// type, so a query and a body that say the same can't come out differently
    /// (docs/semantics.md#targets).
    Scalar(&'a str),
    /// A list; its members may be of any kind.
    List(&'a [AttributeValue<'a>]),
    /// Anything else: it exists, and is of no rule's type.
    Other,
}
