//! The order in which what a node is made of begins: what remembers first, then shards and
//! operators, each as soon as what it rests on is there.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::listening::{self, Listening, Sockets};
use super::opening::Opened;
use super::ready::RedisAtAccept;
use super::threads::{AdminParts, ShardParts, Threads};
use super::{Known, Origins, announce, announce_ready, ready};
use crate::node::drain::{self, RunningNode};
use crate::node::failure::Failure;
use crate::node::preflight::redis::RedisPreflight;
use crate::node::preflight::sql::SqlPreflight;
use crate::node::signals::SignalRequests;
use crate::node::unmerged;
use crate::node::upgrade::new::Predecessor;
use nudged_admin::{GivenListener, HandOverMetrics};
use nudged_api::token::Keys;
use nudged_base::ids::{NodeId, Sequence};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_config::DataListener;
use nudged_publish::publisher::Publisher;
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::watchdog::Watchdog;

/// Starts the threads of a node, and waits until it may say that it is ready.
pub(super) fn start(
    known: Known,
    opened: Opened,
    mut origins: Origins,
    predecessor: Option<&Predecessor>,
) -> Result<RunningNode, Failure> {
    let Known { config, topology, log, .. } = &known;
    let Opened { mut storage, redis, redis_found, mesh, counters, publisher, .. } = opened;
    let threads = Threads { config, topology, mesh: &mesh, log };
    let is_sql_asked = storage.sql != SqlPreflight::Unreachable;
    let (set, left) = (storage.set, std::mem::take(&mut storage.unmerged));
    let journal_end = Sequence(storage.recovered.start.next.0 - 1);
    unmerged::announce(&mesh.redis_status, &left, journal_end, topology.shards);
    let (journal, writer, readers, figures) = threads.start_storage(storage)?;
    let redis_threads = threads.start_redis_threads(redis.as_ref(), set, &counters, &figures)?;
    ready::await_journal(&mesh.journal, config.ack, &config.data)?;
    let parts = ShardParts {
        publisher: &publisher,
        rules: publisher.rules(),
        keys: Arc::new(Keys::new(&opened.keys)),
        counters: &counters,
        connections: known.connections,
        clock: opened.clock,
        redis: redis.as_ref(),
        journal_end,
        left,
    };
    publisher.be_node(&NodeId(set.0).to_string());
    drain::take_reloads(&publisher, &origins.signals, &origins.manager)?;
    let Listening { places, sockets, mut held, .. } = opened.listening;
    // A shard accepts as soon as it is there, and what is accepted is answered before a stop.
    origins.signals.end_start();
    let found = predecessor.map(|_| (redis_found, opened.last_accept));
    let (shards, redis_at_accept) = start_shards(&threads, &parts, sockets, (found, &origins))?;
    let hand_overs = take_over(opened.last_accept, origins.given.from, (log, redis_at_accept));
    let (given, origin) = listening::admin_of(config, &mut origins.given);
    let is_kept = given.as_ref().is_some_and(|given| given.is_kept);
    let listening = places.iter().map(|place| place.listener).collect();
    let admin_parts = admin_parts(&known, (listening, given), &hand_overs);
    let (admin, publishing) =
        threads.start_admin(&parts, admin_parts, &figures, redis_threads.as_ref())?;
    let again = admin.socket().map_err(Failure::system("keep the admin listener's socket"));
    held.push_admin(config, is_kept, again?);
    announce(&places, &format!("{}{origin}", admin.address()));
    let (status, signals) = (&mesh.redis_status, &origins.signals);
    predecessor.inspect(|predecessor| say_serving(predecessor, signals));
    // Who is told to stop before it was ready never is.
    let was_ready = ready::await_sql(is_sql_asked, &figures.fitness, signals)
        && ready::await_redis(redis_threads.as_ref(), status, redis_found, (log, signals))
        && !signals.is_stop_asked();
    let failed = Failure::system("start the thread that tells the service manager");
    let watchdog = Watchdog::start(&origins.manager, &counters, log).map_err(failed)?;
    if was_ready {
        status.start();
        announce_ready((log, &origins.manager), &places, &admin, known.begun);
    }
    begin_retention(&publisher, &mesh);
    Ok(RunningNode {
        config: known.config,
        mesh,
        log: known.log,
        signals: origins.signals,
        was_ready,
        publishing,
        admin,
        shards,
        journal,
        writer,
        readers,
        log_writer: known.log_writer,
        _redis: redis,
        redis_threads,
        held,
        program: origins.program,
        hand_overs,
        manager: origins.manager,
        watchdog,
    })
}

/// Starts the shards. Where another process hands over, they accept once Redis decides.
fn start_shards(
    threads: &Threads<'_>,
    parts: &ShardParts<'_>,
    sockets: Sockets,
    (taken, origins): (Option<(RedisPreflight, Option<MonoNs>)>, &Origins),
) -> Result<(Vec<JoinHandle<()>>, RedisAtAccept), Failure> {
    let mesh = threads.mesh;
    let status = &mesh.redis_status;
    let Some((redis_found, last_accept)) = taken.filter(|_| parts.redis.is_some()) else {
        // The node was ready: who took over is from its first answer on.
        taken.inspect(|_| status.start());
        return Ok((threads.start_shards(parts, sockets)?, RedisAtAccept::None));
    };
    mesh.hold_newcomers();
    let shards = threads.start_shards(parts, sockets)?;
    let redis = ready::await_shards(status, redis_found, last_accept, &origins.signals);
    if redis == RedisAtAccept::Ready {
        status.start();
    }
    mesh.admit_newcomers();
    Ok((shards, redis))
}

fn admin_parts(
    known: &Known,
    (listening, given): (Vec<DataListener>, Option<GivenListener>),
    hand_overs: &Arc<HandOverMetrics>,
) -> AdminParts {
    let (connections_max, log_tail) = (known.connections_max, known.log_writer.tail());
    AdminParts { connections_max, listening, given, hand_overs: hand_overs.clone(), log_tail }
}

/// Shards run by now, and nothing of the start waits for what is deleted.
fn begin_retention(publisher: &Publisher, mesh: &Mesh) {
    let retention = publisher.config().retention.clone();
    mesh.retention.set(retention.events, retention.users);
}

fn say_serving(predecessor: &Predecessor, signals: &SignalRequests) {
    predecessor.say_serving();
    // What was changed on the old one since this one read its settings.
    signals.ask_reload();
}

/// Says how long nobody accepted, where this process takes over from another, and whether Redis
/// decided from then on.
fn take_over(
    last_accept: Option<MonoNs>,
    from: Option<u32>,
    (log, redis): (&Log, RedisAtAccept),
) -> Arc<HandOverMetrics> {
    let hand_overs: Arc<HandOverMetrics> = Arc::default();
    let Some(from) = from else { return hand_overs };
    let gap_ns = last_accept.map(|last| clocks::mono().0.saturating_sub(last.0));
    let gap_ms = gap_ns.map_or(0, |gap_ns| gap_ns.div_ceil(1_000_000));
    hand_overs.set_gap_ms(gap_ms);
    let mut fields =
        vec![("from", LogValue::Number(u64::from(from))), ("gap_ms", LogValue::Number(gap_ms))];
    fields.extend(redis.word().map(|word| ("redis", LogValue::Text(word))));
    log.write(clocks::now(), Message::TakenOver, &fields);
    hand_overs
}
