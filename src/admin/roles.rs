//! What the roles of tokens may do. Rights are not stacked on one another: who edits popups may
//! stop them too, and who runs nodes may stop popups, but neither may do the other's work.
//!
//! | right | viewer | editor | operator | admin |
//! |---|---|---|---|---|
//! | read everything but tokens | yes | yes | yes | yes |
//! | pause, archive, resume | | yes | yes | yes |
//! | change popups | | yes | | yes |
//! | reload | | | yes | yes |
//! | erase users, tokens, backup | | | | yes |

use super::routes::AdminRoute;
use nudged_domain::operators::OperatorRole;
use nudged_http::head::Method;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To look.
    Read,
    /// To pull the kill switch, and to let go of it.
    Switch,
    /// To change popups.
    Edit,
    /// To have a node take its files anew.
    Run,
    /// To erase users, to make tokens, and to copy everything, the keys among it.
    Own,
}

impl Right {
    /// Every right.
    #[cfg(test)]
    const ALL: [Right; 5] = [Right::Read, Right::Switch, Right::Edit, Right::Run, Right::Own];

    /// What a request of a route needs.
    pub(super) fn of(route: AdminRoute<'_>, method: Method) -> Right {
        let is_read = matches!(method, Method::Get | Method::Head | Method::Options);
        match route {
            AdminRoute::Tokens | AdminRoute::Token(_) | AdminRoute::Backup => Right::Own,
            AdminRoute::Pause(_) | AdminRoute::Resume(_) | AdminRoute::Archive(_) => Right::Switch,
            AdminRoute::Reload => Right::Run,
            AdminRoute::User(_) if !is_read => Right::Own,
            _ if is_read => Right::Read,
            _ => Right::Edit,
        }
    }

    /// Whether a role has it.
    pub(super) fn is_of(self, role: OperatorRole) -> bool {
        match role {
            OperatorRole::Viewer => self == Right::Read,
            OperatorRole::Editor => matches!(self, Right::Read | Right::Switch | Right::Edit),
            OperatorRole::Operator => matches!(self, Right::Read | Right::Switch | Right::Run),
            OperatorRole::Admin => true,
        }
    }

    /// The roles that have it, for who does not: `editor or admin`.
    pub(super) fn roles(self) -> String {
        let roles = OperatorRole::WORDS.iter().filter(|(_, role)| self.is_of(*role));
        roles.map(|(word, _)| *word).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_work_and_no_other() {
        let may = |role: OperatorRole| Right::ALL.map(|right| right.is_of(role));
        assert_eq!(may(OperatorRole::Viewer), [true, false, false, false, false]);
        assert_eq!(may(OperatorRole::Editor), [true, true, true, false, false]);
        assert_eq!(may(OperatorRole::Operator), [true, true, false, true, false]);
        assert_eq!(may(OperatorRole::Admin), [true; 5]);
        assert_eq!(Right::Edit.roles(), "editor or admin");
    }

    #[test]
    fn each_request_needs_its_right() {
        let cases = [
            ("/metrics", Method::Get, Right::Read),
            ("/v1/status", Method::Head, Right::Read),
            ("/v1/users/u", Method::Get, Right::Read),
            ("/v1/users/u", Method::Delete, Right::Own),
            ("/v1/popups/p", Method::Get, Right::Read),
            ("/v1/popups/p", Method::Put, Right::Edit),
            ("/v1/popups/p", Method::Patch, Right::Edit),
            ("/v1/popups/p", Method::Delete, Right::Edit),
            ("/v1/popups/p/rollback", Method::Post, Right::Edit),
            ("/v1/popups/p/pause", Method::Post, Right::Switch),
            ("/v1/popups/p/archive", Method::Post, Right::Switch),
            ("/v1/popups/p/resume", Method::Post, Right::Switch),
            ("/v1/reload", Method::Post, Right::Run),
            ("/v1/backup", Method::Post, Right::Own),
            ("/v1/tokens", Method::Get, Right::Own),
            ("/v1/tokens", Method::Post, Right::Own),
            ("/v1/tokens/x", Method::Delete, Right::Own),
        ];
        for (path, method, want) in cases {
            let route = AdminRoute::of(path).unwrap();
            assert_eq!(Right::of(route, method), want, "{method:?} {path}");
        }
    }
}
