//! Whom a decision is for: which users a caller may name, and which of them only look. Owns what
//! becomes of a named user; knows no key and no state.

use std::fmt;

use super::access::Caller;
use super::decide::DecideRequest;
use super::identity::{IdentitySecrets, UserClaim};
use super::refusal::{Code, RequestField, RequestRefusal};

/// What a listener asks of those who name users. Swapped whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct VisitorRules {
    /// How users are proven.
    pub identity: IdentitySecrets,
    /// Who only looks.
    pub preview: PreviewUsers,
}

/// Users who are shown what nobody else is, and never count. Its `Debug` shows none.
#[derive(Clone, Default)]
pub struct PreviewUsers(Box<[Box<str>]>);

impl fmt::Debug for PreviewUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreviewUsers").field(&self.0.len()).finish()
    }
}

impl PreviewUsers {
    /// Of their ids, in any order. Allocates.
    pub fn new<'u>(users: impl IntoIterator<Item = &'u str>) -> PreviewUsers {
        let mut users: Vec<Box<str>> = users.into_iter().map(Box::from).collect();
        users.sort_unstable();
        PreviewUsers(users.into())
    }

    fn has(&self, user: &str) -> bool {
        !self.0.is_empty() && self.0.binary_search_by(|one| (**one).cmp(user)).is_ok()
    }
}

impl VisitorRules {
    /// Makes a request what it counts as: for a minted user where the named one is unproven, and a
    /// preview where a preview user is named by who may. `signature` is asked for only where it
    /// counts. Does not allocate.
    ///
    /// # Errors
    /// 401 `bad_signature` where the user needs one, and those of `signature`.
    pub(super) fn settle<'s>(
        &self,
        asked: &mut DecideRequest<'_>,
        caller: Caller,
        signature: impl FnOnce() -> Result<Option<&'s str>, RequestRefusal>,
    ) -> Result<(), RequestRefusal> {
        if asked.anonymous {
            return Ok(());
        }
        let user = asked.context.user;
        let is_vouched_for = match caller {
            Caller::Server => true,
            Caller::Public if !self.identity.is_required() => false,
            Caller::Public => match self.identity.claim(user, signature()?) {
                UserClaim::Signed => true,
                UserClaim::Minted => false,
                UserClaim::Unproven => {
                    asked.forget_user();
                    return Ok(());
                }
                UserClaim::Refused => {
                    return Err(RequestRefusal::new(Code::BadSignature, RequestField::Sig));
                }
            },
        };
        asked.is_preview = is_vouched_for && self.preview.has(user);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;
    use crate::decide::read_query;

    const SECRET: &str = "identity-secret-1";
    /// Of `u1`.
    const SIGNATURE: &str = "a9d0fa3751fff551f5a23fc8ec01a79d3d6bc1a5a4503493f1205e98c38e31ad";

    fn rules(secrets: &[&str], users: &[&str]) -> VisitorRules {
        VisitorRules {
            identity: IdentitySecrets::new(secrets.iter().copied()),
            preview: PreviewUsers::new(users.iter().copied()),
        }
    }

    /// What becomes of a query: the user, empty for a minted one, and whether it is a preview.
    fn settled(
        rules: &VisitorRules,
        query: &str,
        caller: Caller,
        signature: Option<&str>,
    ) -> Result<(String, bool, bool), Code> {
        let bump = Bump::new();
        let mut asked = read_query(query, &bump).unwrap();
        rules.settle(&mut asked, caller, || Ok(signature)).map_err(|error| error.code)?;
        Ok((asked.context.user.to_owned(), asked.anonymous, asked.is_preview))
    }

    #[test]
    fn whom_a_decision_is_for() {
        let signed = rules(&[SECRET], &["u1"]);
        let unsigned = rules(&[], &["u1", "u0"]);
        let minted = "user=anon-0123456789abcdefghjkm";
        let named = |user: &str, is_preview| Ok((user.to_owned(), false, is_preview));
        let nobody = Ok((String::new(), true, false));
        let refused = Err(Code::BadSignature);
        use Caller::{Public, Server};
        let cases = [
            (&signed, "user=u1", Public, Some(SIGNATURE), named("u1", true)),
            (&signed, "user=u1", Public, None, refused.clone()),
            (&signed, "user=u2", Public, Some(SIGNATURE), refused),
            (&signed, minted, Public, None, nobody.clone()),
            (&signed, "", Public, Some(SIGNATURE), nobody.clone()),
            (&signed, "user=u1", Server, None, named("u1", true)),
            (&signed, "user=u2", Server, Some("wrong"), named("u2", false)),
            (&unsigned, "user=u1", Public, Some(SIGNATURE), named("u1", false)),
            (&unsigned, "user=u1", Server, None, named("u1", true)),
            (&unsigned, "user=u0", Server, None, named("u0", true)),
            (&unsigned, "user=u", Server, None, named("u", false)),
            (&unsigned, "", Server, None, nobody),
        ];
        for (rules, query, caller, signature, want) in cases {
            let got = settled(rules, query, caller, signature);
            assert_eq!(got, want, "{query} {caller:?} {signature:?}");
        }
    }

    #[test]
    fn a_signature_is_asked_for_only_where_it_counts() {
        let bump = Bump::new();
        let unreadable = || Err(RequestRefusal::new(Code::BadEncoding, RequestField::Query));
        for (rules, query, caller, want) in [
            (rules(&[], &[]), "user=u1", Caller::Public, None),
            (rules(&[SECRET], &[]), "user=u1", Caller::Server, None),
            (rules(&[SECRET], &[]), "", Caller::Public, None),
            (rules(&[SECRET], &[]), "user=u1", Caller::Public, Some(Code::BadEncoding)),
        ] {
            let mut asked = read_query(query, &bump).unwrap();
            let settled = rules.settle(&mut asked, caller, unreadable);
            assert_eq!(settled.err().map(|refusal| refusal.code), want, "{query} {caller:?}");
        }
    }

    #[test]
    fn debug_keeps_users() {
        assert_eq!(format!("{:?}", PreviewUsers::new(["ann"])), "PreviewUsers(1)");
    }
}
