//! Property: what a shard has no time to execute for another is refused to whoever asked, by the
//! shard that has the connection, and nothing stays under way.

use std::sync::Arc;

use super::{Core, CoreSetup};
use crate::seam::{Effect, Hop, HopReply, Input, Outbox, ReadFailed, Step, UserRead};
use crate::view::Rules;
use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::token::{Keys, Secret};
use nudged_api::visitors::VisitorRules;
use nudged_base::clock::Now;
use nudged_base::ids::ShardId;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::compile::compile;
use nudged_domain::catalog::snapshot::Settings;
use nudged_http::connection::Timeouts;

const NOW: Now = Now { mono: MonoNs(1_000_000_000), wall: WallMs(1_800_000_000_000) };

fn shard(number: u16) -> Core {
    let secret = Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None };
    Core::new(CoreSetup {
        shard: ShardId(number),
        shards: 2,
        snapshot: Arc::new(compile(&[], Settings::default(), 1).unwrap()),
        rules: Arc::new(Rules {
            access: vec![Access::default()],
            cors: Cors::default(),
            visitors: VisitorRules::default(),
        }),
        keys: Arc::new(Keys::new(&[secret])),
        timeouts: Timeouts::DEFAULT,
        counters: Arc::new(ShardCounters::default()),
        log: Log::new(Level::Error, true, &[]),
        slice_bytes: 1 << 20,
        connections_max: 64,
        connections_max_of_node: 128,
        unsent_bytes_max: nudged_base::limits::UNSENT_BYTES_DEFAULT,
        user_rate: None,
        read_deadline_ms: 50,
        arbiter: None,
        seed: number.into(),
    })
}

fn turn(core: &mut Core, input: Input<'_>) -> Vec<Effect> {
    let mut outbox = Outbox::default();
    core.step(NOW, input, &mut outbox);
    core.finish_turn(NOW, &mut outbox);
    outbox.effects
}

/// Asks the first shard on new connections until a user is at home on the second.
fn ask(core: &mut Core, connections: std::ops::Range<u32>) -> Hop {
    for connection in connections {
        turn(core, Input::Accepted { connection, listener: 0 });
        let request = format!("GET /v1/decide?user=u{connection} HTTP/1.1\r\nHost: a\r\n\r\n");
        let effects = turn(core, Input::Bytes { connection, bytes: request.as_bytes() });
        for effect in effects {
            if let Effect::Hop { to: ShardId(1), hop } = effect {
                return hop;
            }
        }
    }
    panic!("somebody is at home on the second shard");
}

fn reply(effects: Vec<Effect>) -> HopReply {
    let mut replies = effects.into_iter().filter_map(|effect| match effect {
        Effect::HopReply { to: ShardId(0), reply } => Some(reply),
        _ => None,
    });
    replies.next().expect("every hop is answered")
}

fn sent(effects: Vec<Effect>) -> String {
    let sent = effects.into_iter().find_map(|effect| match effect {
        Effect::Send { buffer, .. } => Some(String::from_utf8(buffer).unwrap()),
        _ => None,
    });
    sent.expect("the request is answered").to_ascii_lowercase()
}

#[test]
fn a_request_is_refused_by_the_shard_that_was_to_execute_it() {
    let (mut first, mut second) = (shard(0), shard(1));
    let hop = ask(&mut first, 0..20);
    assert_eq!(hop.since, NOW.mono);
    let refused = reply(turn(&mut second, Input::ShedHop(hop)));
    assert!(second.users.slice.is_empty() && second.users.in_flight.is_empty());
    let answer = sent(turn(&mut first, Input::HopReply(refused)));
    assert!(answer.starts_with("http/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(first.hops.is_quiet());
    // The same, where there is time.
    let hop = ask(&mut first, 20..40);
    let effects = turn(&mut second, Input::Hop(hop));
    let read = effects.iter().find_map(|effect| match effect {
        Effect::ReadUser(read) => Some(read.ticket),
        _ => None,
    });
    let read = UserRead { ticket: read.expect("a user nobody knows"), state: Err(ReadFailed) };
    let executed = reply(turn(&mut second, Input::UserRead(read)));
    let answer = sent(turn(&mut first, Input::HopReply(executed)));
    assert!(answer.starts_with("http/1.1 204 "), "{answer}");
    assert!(first.hops.is_quiet());
}
