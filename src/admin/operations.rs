//! The route table of the admin API: each operation by its method and path, what it takes in its
//! query, and what who asks must be allowed. The description of the API is made of it; `routes`
//! says which handler answers.

use super::parameters::Parameter;
use nudged_base::limits::{LOG_TAIL_LINES, NAME_BYTES_MAX, PAGE_ENTRIES_MAX, WHO_BYTES_MAX};
use nudged_http::head::Method;

/// What who asks must be allowed; `roles` says whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: balancers ask, and browsers whose user has to sign in first.
    Nothing,
    /// To look.
    Reading,
    /// To pull the kill switch, and to let go of it.
    Switching,
    /// To change popups.
    Editing,
    /// To have a node take its files anew.
    Running,
    /// To erase users, to make tokens, and to copy everything, the keys among it.
    Owning,
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
    Parameter::one_of(
        "sort",
        &["id", "priority", "updated", "shows", "clicks"],
        "What they are sorted by, and by id where that is the same. Shows and clicks are those of \
         the last 24 hours, counted anew every 10 seconds. Default: id.",
    ),
    Parameter::one_of("order", &["asc", "desc"], "Default: by id ascending, else descending."),
    Parameter::one_of(
        "stats",
        &["24h"],
        "Adds what was counted of each popup of the page in the last 24 hours.",
    ),
    Parameter::number(
        "limit",
        (1, PAGE_ENTRIES_MAX as u64),
        "Popups of a page; a page of many large ones may have fewer. Default: the most.",
    ),
    Parameter::popup_place(
        "after",
        "Popups behind this place: `next_after` of the page before, which was sorted the same.",
    ),
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

const LOG: &[Parameter] = &[
    Parameter::number("limit", (1, LOG_TAIL_LINES as u64), "Lines, at most. Default: 200."),
    Parameter::one_of(
        "level",
        &["error", "warn", "info", "debug"],
        "Lines that are as grave as this or graver. Default: all.",
    ),
    Parameter::number(
        "after",
        (0, u64::MAX),
        "Lines behind this number, the first of them. Default: the newest.",
    ),
];

const LIVE: &[Parameter] = &[
    Parameter::one_of(
        "log",
        &["error", "warn", "info", "debug"],
        "Lines of the log as well, as they are written: those as grave as this or graver.",
    ),
    Parameter::number(
        "after",
        (0, u64::MAX),
        "Lines behind this number too, as far as they are kept. Default: new ones.",
    ),
];

const CHECK: &[Parameter] =
    &[Parameter::popup_id("id", "The popup's id, where the body does not have it.")];

const AUDIT: &[Parameter] = &[
    Parameter::number("limit", (1, PAGE_ENTRIES_MAX as u64), "Entries of a page. Default: 100."),
    Parameter::cursor("before", "`next_before` of the page before. Default: the newest."),
];
const DRAFT: &[Parameter] = &[Parameter::number(
    "base_version",
    (0, u32::MAX as u64),
    "The version that the draft was made from, 0 for none. Default: of a first draft the popup's \
     version now, of a later one that of the one before.",
)];

const PUBLISH: &[Parameter] = &[Parameter::number(
    "revision",
    (0, u64::MAX),
    "The revision that the draft must have. Default: any.",
)];

const TOKEN: &[Parameter] = &[
    Parameter::text("id", 32, "The token's id."),
    Parameter::text("name", WHO_BYTES_MAX, "The token's name, in place of its id."),
];

/// Every operation.
pub(super) const OPERATIONS: &[AdminOperation] = &[
    row(Method::Get, "/health", Needs::Nothing, NONE),
    row(Method::Get, "/healthz", Needs::Nothing, NONE),
    row(Method::Get, "/readyz", Needs::Nothing, NONE),
    row(Method::Get, "/", Needs::Nothing, NONE),
    row(Method::Get, "/console", Needs::Nothing, NONE),
    row(Method::Get, "/console/{path}", Needs::Nothing, NONE),
    row(Method::Get, "/v1/session", Needs::Nothing, NONE),
    row(Method::Post, "/v1/session", Needs::Nothing, NONE),
    row(Method::Delete, "/v1/session", Needs::Nothing, NONE),
    row(Method::Get, "/openapi.json", Needs::Reading, NONE),
    row(Method::Get, "/metrics", Needs::Reading, NONE),
    row(Method::Get, "/v1/status", Needs::Reading, NONE),
    row(Method::Get, "/v1/live", Needs::Reading, LIVE),
    row(Method::Get, "/v1/log", Needs::Reading, LOG),
    row(Method::Get, "/v1/audit", Needs::Reading, AUDIT),
    row(Method::Get, "/v1/doctor", Needs::Running, NONE),
    row(Method::Post, "/v1/check", Needs::Reading, CHECK),
    row(Method::Get, "/v1/popups", Needs::Reading, LIST),
    row(Method::Get, "/v1/popups/{id}", Needs::Reading, NONE),
    row(Method::Put, "/v1/popups/{id}", Needs::Editing, NONE),
    row(Method::Patch, "/v1/popups/{id}", Needs::Editing, NONE),
    row(Method::Delete, "/v1/popups/{id}", Needs::Editing, NONE),
    row(Method::Post, "/v1/popups/{id}/pause", Needs::Switching, NONE),
    row(Method::Post, "/v1/popups/{id}/resume", Needs::Switching, NONE),
    row(Method::Post, "/v1/popups/{id}/archive", Needs::Switching, NONE),
    row(Method::Post, "/v1/popups/{id}/rollback", Needs::Editing, VERSION),
    row(Method::Get, "/v1/popups/{id}/draft", Needs::Reading, NONE),
    row(Method::Put, "/v1/popups/{id}/draft", Needs::Editing, DRAFT),
    row(Method::Delete, "/v1/popups/{id}/draft", Needs::Editing, NONE),
    row(Method::Post, "/v1/popups/{id}/publish", Needs::Editing, PUBLISH),
    row(Method::Get, "/v1/popups/{id}/history", Needs::Reading, HISTORY),
    row(Method::Get, "/v1/users/{user}", Needs::Reading, NONE),
    row(Method::Delete, "/v1/users/{user}", Needs::Owning, NONE),
    row(Method::Get, "/v1/users/{user}/timeline", Needs::Reading, TIMELINE),
    row(Method::Get, "/v1/explain", Needs::Reading, EXPLAIN),
    row(Method::Post, "/v1/preview", Needs::Reading, NONE),
    row(Method::Get, "/v1/stats", Needs::Reading, STATS),
    row(Method::Post, "/v1/reload", Needs::Running, NONE),
    row(Method::Post, "/v1/backup", Needs::Owning, NONE),
    row(Method::Get, "/v1/tokens", Needs::Owning, NONE),
    row(Method::Post, "/v1/tokens", Needs::Owning, NONE),
    row(Method::Delete, "/v1/tokens", Needs::Owning, TOKEN),
    row(Method::Delete, "/v1/tokens/{id}", Needs::Owning, NONE),
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
