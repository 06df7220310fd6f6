//! Decisions for users who only look: as if they had never been shown anything, drafts and pending
//! ones among the popups. Nothing is read, remembered or counted as shown, so that any shard
//! answers at once, and without Redis and SQL too.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::Turn;
use super::evaluate::{RequestContext, decided, verdict_of};
use nudged_api::decide::DecideRequest;
use nudged_api::outcome::{Candidate, Decided, Outcome};
use nudged_api::token::{PREVIEW_NUMBER, Token};
use nudged_api::verdict::Verdict;
use nudged_base::time::WallMs;
use nudged_domain::decide::choose::{self, Decision};

impl Turn<'_> {
    /// Decides for a user who only looks. The events that came with it are taken and dropped,
    /// whatever they are of.
    pub(crate) fn preview<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Outcome<'a> {
        let Turn { users, arbitration, scratch } = self;
        let now = arbitration.wall(context.now);
        let snapshot = context.view.previewed();
        let user = request.context.user;
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        let events = request.events.iter();
        verdicts.extend(events.map(|element| verdict_of(element, user, |_| Verdict::Dropped)));
        let decision = choose::preview(snapshot, &request.context, now);
        let mut decided = decided(request, decision);
        if let Decision::Show { popup, variant } = decision {
            let popup = &snapshot.popups[popup as usize];
            let variant = &popup.variants[variant];
            let token = Token {
                user,
                popup: &popup.id,
                version: popup.version,
                variant: &variant.key,
                number: PREVIEW_NUMBER,
                at: now,
                local: None,
            };
            scratch.token.clear();
            context.view.keys.mint(&token, &mut scratch.token);
            decided.token = context.bump.alloc_str(&scratch.token);
            decided.locale = choose::locale(variant, request.context.locale);
        }
        let candidates = request.explain.then(|| candidates(context, request, now, context.bump));
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..decided };
        users.counters.preview_decisions.add(1);
        users.count_verdicts(decided.verdicts.iter().copied());
        users.log_decision((snapshot, context.now), user, &decided);
        Outcome::Decided(decided)
    }
}

/// Every popup with its gate.
fn candidates<'a>(
    context: &RequestContext<'_, '_>,
    request: &DecideRequest<'_>,
    now: WallMs,
    bump: &'a Bump,
) -> &'a [Candidate] {
    let gates = choose::explain_preview(context.view.previewed(), &request.context, now);
    bump.alloc_slice_fill_iter(gates)
}
