//! What the roles of tokens may do. Rights are not stacked on one another: who edits popups may
//! stop them too, and who runs nodes may stop popups, but neither may do the other's work.
//!
//! | right | viewer | editor | operator | admin |
//! |---|---|---|---|---|
//! | read everything but tokens | yes | yes | yes | yes |
//! | read decisions' tokens | | yes | yes | yes |
//! | pause, archive, resume | | yes | yes | yes |
//! | change popups | | yes | | yes |
//! | reload, have the host looked at | | | yes | yes |
//! | erase users, tokens, backup | | | | yes |

use super::operations::Needs;
use nudged_domain::operators::OperatorRole;

impl Needs {
    /// Whether a role is allowed it.
    pub(super) fn is_of(self, role: OperatorRole) -> bool {
        use Needs::{Editing, Nothing, Reading, Running, Switching};
        match role {
            OperatorRole::Viewer => matches!(self, Nothing | Reading),
            OperatorRole::Editor => matches!(self, Nothing | Reading | Switching | Editing),
            OperatorRole::Operator => matches!(self, Nothing | Reading | Switching | Running),
            OperatorRole::Admin => true,
        }
    }

    /// The words of the roles that are allowed it.
    pub(super) fn roles(self) -> Vec<&'static str> {
        let roles = OperatorRole::WORDS.iter().filter(|(_, role)| self.is_of(*role));
        roles.map(|(word, _)| *word).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::operations::find;
    use nudged_http::head::Method;

    #[test]
    fn each_role_may_do_its_work_and_no_other() {
        let (of_editor, of_operator) = (["editor", "admin"], ["operator", "admin"]);
        let cases: &[(&str, Method, &[&str])] = &[
            ("/metrics", Method::Get, &["viewer", "editor", "operator", "admin"]),
            ("/v1/status", Method::Head, &["viewer", "editor", "operator", "admin"]),
            ("/v1/live", Method::Get, &["viewer", "editor", "operator", "admin"]),
            ("/v1/check", Method::Post, &["viewer", "editor", "operator", "admin"]),
            ("/v1/doctor", Method::Get, &of_operator),
            ("/v1/users/{user}", Method::Get, &["viewer", "editor", "operator", "admin"]),
            ("/v1/users/{user}", Method::Delete, &["admin"]),
            ("/v1/popups/{id}", Method::Put, &of_editor),
            ("/v1/popups/{id}", Method::Patch, &of_editor),
            ("/v1/popups/{id}", Method::Delete, &of_editor),
            ("/v1/popups/{id}/publish", Method::Post, &of_editor),
            ("/v1/popups/{id}/pause", Method::Post, &["editor", "operator", "admin"]),
            ("/v1/popups/{id}/resume", Method::Post, &["editor", "operator", "admin"]),
            ("/v1/reload", Method::Post, &of_operator),
            ("/v1/backup", Method::Post, &["admin"]),
            ("/v1/tokens", Method::Get, &["admin"]),
            ("/v1/tokens/{id}", Method::Delete, &["admin"]),
        ];
        for (path, method, roles) in cases {
            assert_eq!(find(*method, path).unwrap().needs.roles(), *roles, "{method:?} {path}");
        }
    }
}
