//! The route table of the admin API: each operation by its method and path, what it takes in its
//! query, and what who asks must be allowed. The description of the API is made of it; `routes`
//! says which handler answers.

use super::parameters::Parameter;
use nudged_base::limits::{NAME_BYTES_MAX, PAGE_ENTRIES_MAX};
use nudged_http::head::Method;

/// What who asks must be allowed; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Nothing: balancers ask.
    Nothing,
    /// To look at everything.
    Viewer,
    /// To change popups.
    Editor,
    /// To stop popups, reload, back up and erase.
    Operator,
}

impl Needs {
    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Needs::Nothing => "nothing",
            Needs::Viewer => "viewer",
            Needs::Editor => "editor",
            Needs::Operator => "operator",
        }
    }
}

/// A request that the admin API takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdminOperation {
    /// Its method; GET stands for HEAD too.
    pub(super) method: Method,
    /// Its path, with `{id}` and `{user}` for what is named there.
    pub(super) path: &'static str,
    /// What who asks must be allowed.
    pub(super) needs: Needs,
    /// What its query may have.
    pub(super) parameters: &'static [Parameter],
}

const fn row(
    method: Method,
    path: &'static str,
    needs: Needs,
    parameters: &'static [Parameter],
) -> AdminOperation {
    AdminOperation { method, path, needs, parameters }
}

const NONE: &[Parameter] = &[];

const LIST: &[Parameter] = &[
    Parameter::one_of(
        "status",
        &["draft", "live", "paused", "archived"],
        "Popups of this status, as decisions go by it.",
    ),
    Parameter::text("placement", NAME_BYTES_MAX, "Popups of this placement."),
    Parameter::text(
        "q",
        NAME_BYTES_MAX,
        "Popups with this text in their id or in a text of their content, whatever its case.",
    ),
    Parameter::number(
        "limit",
        (1, PAGE_ENTRIES_MAX as u64),
        "Popups of a page; a page of many large ones may have fewer. Default: the most.",
    ),
    Parameter::popup_id("after", "Popups behind this id: `next_after` of the page before."),
];

const HISTORY: &[Parameter] = &[
    Parameter::number("limit", (1, PAGE_ENTRIES_MAX as u64), "Lines of a page. Default: 100."),
    Parameter::number(
        "before",
        (1, u64::MAX),
        "Changes before this one: `next_before` of the page before.",
    ),
];

const EXPLAIN: &[Parameter] = &[
    Parameter::data("user", "The user's id, 1 to 128 bytes.").required(),
    Parameter::data("placement", "Where the popup would appear. Default, and if empty: `home`."),
    Parameter::data("session", "The user's session, up to 1,024 bytes."),
    Parameter::data("locale", "The user's locale, such as `de-AT`."),
    Parameter::data("tz", "The user's time zone. One that is none counts as UTC, with a warning."),
    Parameter::data("attr.", "Attributes, as `attr.NAME=VALUE`."),
    Parameter::moment("at", "The moment of the decision. Default: now."),
];

const STATS: &[Parameter] = &[
    Parameter::popup_id("popup", "One popup. Default: all."),
    Parameter::moment(
        "from",
        "The first hour, at most 31 days before `to`, or 366 with `popup`. Default: a day before.",
    ),
    Parameter::moment("to", "Before this moment. Default: now."),
    Parameter::one_of(
        "by",
        &["hour", "day"],
        "Rows by hour or by calendar day of `tz`. Default: by hour, and old ones by UTC day.",
    ),
    Parameter::zone("tz", "The zone of the days and of `local`. Default: UTC."),
    Parameter::one_of("format", &["json", "csv"], "Default: what `Accept` asks for, else JSON."),
];

const TIMELINE: &[Parameter] = &[
    Parameter::number("limit", (1, PAGE_ENTRIES_MAX as u64), "Entries of a page. Default: 50."),
    Parameter::cursor("before", "`next_before` of the page before. Default: the newest."),
];

const VERSION: &[Parameter] = &[Parameter::number(
    "version",
    (0, u32::MAX as u64),
    "The version to go back to. Default: the one before.",
)];

/// Every operation.
pub(super) const OPERATIONS: &[AdminOperation] = &[
    row(Method::Get, "/health", Needs::Nothing, NONE),
    row(Method::Get, "/healthz", Needs::Nothing, NONE),
    row(Method::Get, "/readyz", Needs::Nothing, NONE),
    row(Method::Get, "/openapi.json", Needs::Viewer, NONE),
    row(Method::Get, "/metrics", Needs::Viewer, NONE),
    row(Method::Get, "/v1/status", Needs::Viewer, NONE),
    row(Method::Get, "/v1/popups", Needs::Viewer, LIST),
    row(Method::Get, "/v1/popups/{id}", Needs::Viewer, NONE),
    row(Method::Put, "/v1/popups/{id}", Needs::Editor, NONE),
    row(Method::Patch, "/v1/popups/{id}", Needs::Editor, NONE),
    row(Method::Delete, "/v1/popups/{id}", Needs::Editor, NONE),
    row(Method::Post, "/v1/popups/{id}/pause", Needs::Operator, NONE),
    row(Method::Post, "/v1/popups/{id}/resume", Needs::Operator, NONE),
    row(Method::Post, "/v1/popups/{id}/archive", Needs::Operator, NONE),
    row(Method::Post, "/v1/popups/{id}/rollback", Needs::Editor, VERSION),
    row(Method::Get, "/v1/popups/{id}/draft", Needs::Viewer, NONE),
    row(Method::Put, "/v1/popups/{id}/draft", Needs::Editor, NONE),
    row(Method::Delete, "/v1/popups/{id}/draft", Needs::Editor, NONE),
    row(Method::Post, "/v1/popups/{id}/publish", Needs::Editor, NONE),
    row(Method::Get, "/v1/popups/{id}/history", Needs::Viewer, HISTORY),
    row(Method::Get, "/v1/users/{user}", Needs::Viewer, NONE),
    row(Method::Delete, "/v1/users/{user}", Needs::Operator, NONE),
    row(Method::Get, "/v1/users/{user}/timeline", Needs::Viewer, TIMELINE),
    row(Method::Get, "/v1/explain", Needs::Viewer, EXPLAIN),
    row(Method::Post, "/v1/preview", Needs::Viewer, NONE),
    row(Method::Get, "/v1/stats", Needs::Viewer, STATS),
    row(Method::Post, "/v1/reload", Needs::Operator, NONE),
    row(Method::Post, "/v1/backup", Needs::Operator, NONE),
];

/// The operation of a method on a path.
pub(super) fn find(method: Method, path: &str) -> Option<&'static AdminOperation> {
    let method = if method == Method::Head { Method::Get } else { method };
    OPERATIONS.iter().find(|row| row.method == method && row.path == path)
}

/// The methods of a path, as `Allow` lists them: those of all paths for `*`.
pub(super) fn allow(path: &str) -> String {
    let has = |method| {
        OPERATIONS.iter().any(|row| row.method == method && (row.path == path || path == "*"))
    };
    let methods = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch];
    let methods = methods.into_iter().chain([Method::Delete]);
    let is_there = |method: &Method| match method {
        Method::Head => has(Method::Get),
        method => has(*method),
    };
    let names: Vec<&str> = methods.filter(is_there).map(name_of).chain(["OPTIONS"]).collect();
    names.join(", ")
}

/// A method's name.
pub(super) fn name_of(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
    }
}
