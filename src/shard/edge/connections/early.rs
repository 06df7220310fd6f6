//! What a shard says to requests that are never handed out, counted as others are.

use crate::edge::serve::count_answered;
use crate::view::View;
use nudged_api::early;
use nudged_base::clock::Now;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_http::early::{EarlyAnswers, HeadArrival};
use nudged_http::head::Request;
use nudged_http::refusal::HttpRefusal;
use nudged_http::reply::ResponseFlags;

/// The shard as a connection of one listener sees it this turn.
pub(super) struct ShardEarlyAnswers<'v> {
    pub(super) view: &'v View,
    pub(super) now: Now,
    pub(super) listener: u16,
    pub(super) counters: &'v ShardCounters,
}

impl EarlyAnswers for ShardEarlyAnswers<'_> {
    fn write_refused(
        &self,
        refusal: HttpRefusal,
        begun: &HeadArrival<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) {
        early::write_refused(refusal, begun, &self.view.rules.cors, frame, out);
    }

    fn answer_head(
        &self,
        request: &Request<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let policy = self.view.policy(self.listener, self.now);
        let status = early::refuse_head(request, &policy, frame, out);
        if let Some(status) = status {
            count_answered(self.counters, request, status);
        }
        status.is_some()
    }
}
