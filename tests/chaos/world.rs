//! The servers, and what goes wrong with them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::arguments::Arguments;
use crate::cluster::{Cluster, Plan};
use crate::harness::{Server, Setup, until_within};
use crate::history::Row;
use crate::random::Random;
use crate::said::Said;
use crate::support::proxy::{Proxy, Way};
use crate::visitors::Traffic;

/// Errors that a node may log while its servers die.
const ANY_ERROR: &str = "\"level\":\"error\"";
/// Popups and their gaps: short, so that they are at stake again and again.
const GAPS_MS: [(&str, i64); 3] = [("second", 1_000), ("three", 3_000), ("ten", 10_000)];
/// Changes that were asked about, by what was learnt.
const PURSUITS: &str = "nudged_redis_pursuits_total";
/// After the faults everything works again within this.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    NodeKilled,
    NodeFrozen,
    /// Its bytes to and from Redis are held back, without a reset.
    NodeCutOff,
    /// Its connections to Redis break in the midst of a reply.
    ReplyCut,
    RedisKilled,
    RedisFrozen,
    RedisConnectionsCut,
    RedisWiped,
    DatabaseKilled,
    DatabaseFrozen,
    DatabaseConnectionsCut,
}

/// One node, which runs or doesn't.
struct Node {
    setup: Setup,
    server: Option<Server>,
    /// Between it and Redis.
    proxy: Option<Proxy>,
}

/// All servers of a run.
pub struct World {
    cluster: Option<Cluster>,
    nodes: Vec<Node>,
    traffic: Arc<Traffic>,
    random: Random,
    faults: Vec<Fault>,
    injected: HashMap<Fault, u64>,
    unseen: Unseen,
    commands: Commands,
    said: Said,
}

/// What became of shows that nobody saw, by the counters of nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unseen {
    /// They were taken back.
    pub withdrawn: u64,
    /// They were asked about, since their reply was lost.
    pub asked: u64,
    /// Of them those that were never committed.
    pub never_were: u64,
    /// Of them those of which nothing could be learnt.
    pub unknown: u64,
}

impl Unseen {
    fn add(&mut self, metrics: &str) {
        self.withdrawn += sum(metrics, "nudged_redis_withdrawn_total", "");
        self.asked += sum(metrics, PURSUITS, "");
        self.never_were += sum(metrics, PURSUITS, "\"not_committed\"");
        self.unknown += sum(metrics, PURSUITS, "\"unknown\"");
    }
}

/// Commands of the shards to Redis, by the counters of nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commands {
    /// They were sent, once or more.
    pub sent: u64,
    /// Sent again after a lost connection.
    pub again: u64,
}

impl Commands {
    fn add(&mut self, metrics: &str) {
        self.sent += sum(metrics, "nudged_redis_link_commands_total", "");
        self.again += sum(metrics, "nudged_redis_link_retries_total", "");
    }

    /// Whether more were sent again than `redis.retry_budget` has at its default
    /// (docs/guarantees.md#g13), which each connection may have saved up.
    pub fn are_too_many(&self) -> bool {
        self.again * 10 > self.sent
    }
}

/// The sum over the series of a metric that have this in their labels.
fn sum(metrics: &str, name: &str, label: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The gap of each popup in milliseconds.
pub fn gaps_ms() -> HashMap<String, i64> {
    GAPS_MS.iter().map(|(id, gap)| ((*id).to_owned(), *gap)).collect()
}

/// Popups whose outcomes leave the gap of the show as it is.
fn popups() -> String {
    let outcomes = ["shown", "ignored", "dismissed", "clicked", "converted"];
    let popup = |(id, gap): &(&str, i64)| {
        let gaps = outcomes.map(|outcome| format!("after_{outcome} = \"{gap}ms\"\n")).concat();
        format!("[[popup]]\nid = \"{id}\"\npriority = {gap}\n{gaps}")
    };
    GAPS_MS.iter().map(popup).collect()
}

/// Two versions serve side by side where the run has two.
fn program_of(arguments: &Arguments, node: usize) -> &Path {
    match &arguments.beside {
        Some(beside) if node % 2 == 1 => beside,
        _ => &arguments.program,
    }
}

impl World {
    /// Starts everything.
    pub fn new(arguments: &Arguments, traffic: Arc<Traffic>) -> World {
        let settings = format!("queue = \"{}\"", arguments.queue);
        let popups = popups();
        let plan = Plan { settings: &settings, owns_mariadb: true, ..Plan::impatient(&popups) };
        let cluster = (!arguments.is_embedded).then(|| Cluster::new(plan));
        let node = |index| match &cluster {
            Some(cluster) => {
                let proxy = Proxy::to(cluster.redis.address());
                let setup = cluster.node_behind(&proxy).program(program_of(arguments, index));
                Node { setup, server: None, proxy: Some(proxy) }
            }
            None => {
                let setup = Setup::new(&popups).flags(&["--shards", "2", "--no-pin"]);
                let setup = setup.program(program_of(arguments, index));
                Node { setup, server: None, proxy: None }
            }
        };
        let nodes = (0..arguments.nodes).map(node).collect();
        traffic.nodes.lock().unwrap().resize(arguments.nodes, None);
        let random = Random::new(arguments.seed, 0);
        let mut world = World {
            cluster,
            nodes,
            traffic,
            random,
            faults: faults(arguments),
            injected: HashMap::new(),
            unseen: Unseen::default(),
            commands: Commands::default(),
            said: Said::default(),
        };
        for index in 0..arguments.nodes {
            world.start_node(index);
        }
        world
    }

    fn start_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let mut server = node.setup.start();
        server.allow(ANY_ERROR);
        self.traffic.nodes.lock().unwrap()[index] = Some(server.data);
        node.server = Some(server);
    }

    fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("faults of servers are drawn where there are some")
    }

    /// Injects one fault, and ends it again.
    pub fn inject_fault(&mut self) {
        let fault = *self.random.pick(&self.faults);
        *self.injected.entry(fault).or_default() += 1;
        let short = Duration::from_millis(u64::try_from(20 + self.random.below(400)).unwrap());
        let index = self.random.below(self.nodes.len());
        match fault {
            Fault::NodeKilled | Fault::NodeFrozen | Fault::NodeCutOff | Fault::ReplyCut => {
                self.hit_node(fault, index, short);
            }
            Fault::RedisKilled
            | Fault::RedisFrozen
            | Fault::RedisConnectionsCut
            | Fault::RedisWiped => self.hit_redis(fault, short),
            Fault::DatabaseKilled | Fault::DatabaseFrozen | Fault::DatabaseConnectionsCut => {
                self.hit_database(fault, short);
            }
        }
        // A while of peace, so that work gets done between the faults.
        pause(2 * short);
    }

    fn hit_node(&mut self, fault: Fault, index: usize, short: Duration) {
        match fault {
            Fault::NodeKilled => {
                self.traffic.nodes.lock().unwrap()[index] = None;
                let server = self.nodes[index].server.take().expect("each runs");
                self.count(&server);
                server.kill();
                pause(short);
                self.start_node(index);
            }
            Fault::NodeFrozen => {
                self.signal_node(index, Signal::STOP);
                pause(2 * short);
                self.signal_node(index, Signal::CONT);
            }
            Fault::NodeCutOff => {
                self.proxy(index).black_hole();
                pause(2 * short);
                self.proxy(index).heal();
            }
            _ => {
                let bytes = 1 + self.random.below(2_000);
                self.proxy(index).cut_after(Way::ToClient, bytes);
            }
        }
    }

    fn hit_redis(&mut self, fault: Fault, short: Duration) {
        let redis = &mut self.cluster().redis;
        match fault {
            Fault::RedisKilled => {
                redis.kill();
                pause(short);
                redis.restart();
            }
            Fault::RedisFrozen => {
                redis.freeze();
                pause(2 * short);
                redis.thaw();
            }
            Fault::RedisWiped => {
                let said = redis.line(&["FLUSHALL"]);
                // Just started, it may still read its log: then this wipe is one less.
                assert!(said == "OK" || said.starts_with("LOADING"), "{said}");
            }
            _ => {
                redis.ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
            }
        }
    }

    fn hit_database(&mut self, fault: Fault, short: Duration) {
        let database = self.cluster().own_mariadb();
        match fault {
            Fault::DatabaseKilled => {
                database.kill();
                pause(3 * short);
                database.restart();
            }
            Fault::DatabaseFrozen => {
                database.freeze();
                pause(2 * short);
                database.thaw();
            }
            _ => {
                database.kill_connections();
            }
        }
    }

    fn proxy(&self, index: usize) -> &Proxy {
        self.nodes[index].proxy.as_ref().expect("a node with Redis has one")
    }

    fn signal_node(&self, index: usize, signal: Signal) {
        self.nodes[index].server.as_ref().expect("each runs").signal(signal);
    }

    /// Waits until every node decides again and has no records left that wait to be merged.
    pub fn heal(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let server = node.server.as_ref().expect("each runs");
            let mut number = 0;
            until_within("service after the faults", HEALED_WITHIN, || {
                number += 1;
                let user = format!("healed-{index}-{number}");
                server.client().decide(&user).token()
            });
        }
    }

    /// Where the nodes are asked.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().flat_map(|node| &node.server)
    }

    /// Stops every node, cleanly; each applies what it has.
    pub fn stop(&mut self) {
        self.traffic.nodes.lock().unwrap().fill(None);
        for index in 0..self.nodes.len() {
            let server = self.nodes[index].server.take().expect("each runs");
            self.count(&server);
            server.stop();
        }
    }

    /// What is known of a node that ends.
    fn count(&mut self, server: &Server) {
        let metrics = server.operator().get("/metrics").body;
        self.unseen.add(&metrics);
        self.commands.add(&metrics);
        self.said.push(server.saying());
    }

    /// What the shards sent to Redis.
    pub fn commands(&self) -> Commands {
        self.commands
    }

    /// What its nodes said.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// What its nodes said that they should not have, on their logs and in their files.
    pub fn told(&self) -> Vec<String> {
        let folders = self.nodes.iter().map(|node| node.setup.data());
        self.said.wrong(&folders.collect::<Vec<_>>())
    }

    /// What became of shows that nobody saw.
    pub fn unseen(&self) -> Unseen {
        self.unseen
    }

    /// The rows of `events`.
    pub fn rows(&self) -> Vec<Row> {
        let query = "SELECT decision, action, at, user_id, popup_id FROM events";
        let lines = match &self.cluster {
            Some(cluster) => cluster.rows(query),
            None => embedded_rows(self.nodes[0].setup.data(), query),
        };
        lines.iter().map(|line| row(line)).collect()
    }

    /// What SQL says of itself and should not, by `what` and a number that should be 0.
    pub fn disagreements(&self) -> Vec<String> {
        let queries = [
            (
                "users who have fewer shows than events say",
                "SELECT COUNT(*) FROM user_popups WHERE shows < (SELECT COUNT(*) FROM events \
                 WHERE action = 'decided' AND events.user_id = user_popups.user_id \
                 AND events.popup_id = user_popups.popup_id)",
            ),
            (
                "statistics of shows apart from the events",
                "SELECT COALESCE((SELECT SUM(decided) FROM popup_stats), 0) - \
                 (SELECT COUNT(*) FROM events WHERE action = 'decided')",
            ),
            (
                "statistics of clicks apart from the events",
                "SELECT COALESCE((SELECT SUM(clicked) FROM popup_stats), 0) - \
                 (SELECT COUNT(*) FROM events WHERE action = 'clicked')",
            ),
        ];
        let number = |query: &str| match &self.cluster {
            Some(cluster) => cluster.number(query),
            None => crate::database::number(self.nodes[0].setup.data(), query),
        };
        let found = queries.map(|(what, query)| (what, number(query)));
        let wrong = found.iter().filter(|(_, count)| *count != 0);
        wrong.map(|(what, count)| format!("{what}: {count}")).collect()
    }

    /// The faults that were injected, in words.
    pub fn faults_text(&self) -> String {
        let mut told: Vec<String> =
            self.injected.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
        told.sort();
        told.join(", ")
    }
}

fn faults(arguments: &Arguments) -> Vec<Fault> {
    let mut faults = vec![Fault::NodeKilled, Fault::NodeKilled, Fault::NodeFrozen];
    if !arguments.is_embedded {
        faults.extend([
            Fault::NodeCutOff,
            Fault::ReplyCut,
            Fault::RedisKilled,
            Fault::RedisFrozen,
            Fault::RedisConnectionsCut,
            Fault::DatabaseKilled,
            Fault::DatabaseFrozen,
            Fault::DatabaseConnectionsCut,
        ]);
    }
    if arguments.wipes {
        faults.push(Fault::RedisWiped);
    }
    faults
}

fn pause(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

fn embedded_rows(data: &std::path::Path, query: &str) -> Vec<String> {
    let connection = crate::database::open(data);
    let mut statement = connection.prepare(query).unwrap();
    let line = |row: &rusqlite::Row| {
        let texts: [String; 2] = [row.get(0)?, row.get(1)?];
        let (at, user, popup): (i64, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(format!("{}\t{}\t{at}\t{user}\t{popup}", texts[0], texts[1]))
    };
    statement.query_map([], line).unwrap().map(Result::unwrap).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<&str> = line.split('\t').collect();
    let [decision, action, at, user, popup] = columns[..] else { panic!("a row: {line:?}") };
    Row {
        decision: decision.to_owned(),
        action: action.to_owned(),
        at_ms: at.parse().unwrap(),
        user: user.to_owned(),
        popup: popup.to_owned(),
    }
}
