//! Property: upgrades and drains lose no request (docs/guarantees.md#g8). Nothing dies here: nodes
//! are handed over to new processes and drained, one after the other, while clients that honour
//! `Connection: close` come and go. None of them may see a reset, a refusal, an end without an
//! answer or a 5xx, and what they were shown is in SQL exactly once.
//!
//! Two nodes with Redis and MariaDB, or one without: that one is drained on sockets that a service
//! manager keeps, since nobody else is there to take its newcomers.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rustix::process::Signal;

use crate::arguments::Arguments;
use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::database;
use crate::harness::{STOP_TIMEOUT, Server, Setup, until};
use crate::support::given::Given;

/// Requests of one connection; then it is closed, as a visitor leaves.
const REQUESTS_A_VISIT: u64 = 25;
/// Between two steps so many requests are answered.
const REQUESTS_A_STEP: u64 = 200;
/// How long the old process is a lame duck; the node is told nothing else, so steps are quick.
const SETTINGS: &str = "lame_duck = \"150ms\"\n";
/// On a loaded machine a user may be read late, which is not what is looked at here.
pub const PATIENT: &str = "[limits]\nread_deadline = \"5s\"\n";
/// Shown to everybody once.
const POPUPS: &str = "[[popup]]\nid = \"welcome\"\nafter_shown = \"never\"\n";

/// What clients and the run share.
#[derive(Default)]
struct Calm {
    /// Where each node is, if newcomers should come to it.
    nodes: Mutex<Vec<Option<SocketAddr>>>,
    is_over: AtomicBool,
    answered: AtomicU64,
    connections: AtomicU64,
    longest_wait_ms: AtomicU64,
    mistakes: Mutex<Vec<String>>,
}

impl Calm {
    fn wrong(&self, mistake: String) {
        self.mistakes.lock().unwrap().push(mistake);
    }

    fn await_some(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("some load", || {
            (self.answered.load(Ordering::Relaxed) >= before + REQUESTS_A_STEP).then_some(())
        });
    }

    /// One client, to its end; gives the tokens that it was shown.
    fn visit(&self, name: usize) -> Vec<String> {
        let (mut tokens, mut user) = (Vec::new(), 0_u64);
        let mut turn = name;
        while !self.is_over.load(Ordering::Relaxed) {
            let nodes: Vec<SocketAddr> =
                self.nodes.lock().unwrap().iter().flatten().copied().collect();
            turn += 1;
            let begun = Instant::now();
            let mut client = match Client::try_connect(nodes[turn % nodes.len()]) {
                Ok(client) => client,
                Err(error) => {
                    self.wrong(format!("connect: {error}"));
                    continue;
                }
            };
            self.connections.fetch_add(1, Ordering::Relaxed);
            for number in 0..REQUESTS_A_VISIT {
                user += 1;
                let target = format!("/v1/decide?user=visitor-{name}-{user}");
                let answer = match client.try_ask("GET", &target, "") {
                    Ok(answer) => answer,
                    Err(error) => {
                        let what = match error.kind() {
                            ErrorKind::ConnectionReset => "reset",
                            ErrorKind::UnexpectedEof => "closed without an answer",
                            _ => "failed",
                        };
                        self.wrong(format!("request {number} of a connection: {what}: {error}"));
                        break;
                    }
                };
                if number == 0 {
                    let wait_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
                    self.longest_wait_ms.fetch_max(wait_ms, Ordering::Relaxed);
                }
                match answer.status {
                    200 => tokens.push(answer.token().unwrap()),
                    _ => self.wrong(format!("a new user was answered {answer:?}")),
                }
                self.answered.fetch_add(1, Ordering::Relaxed);
                if answer.field("connection") == Some("close") {
                    break;
                }
            }
        }
        tokens
    }
}

/// A node of the run.
struct Node {
    setup: Setup,
    server: Option<Server>,
    /// What a service manager keeps, where nobody else takes the newcomers of a drain.
    kept: Option<TcpListener>,
}

impl Node {
    fn start(&mut self, program: &Path) -> SocketAddr {
        let server = match &self.kept {
            Some(listener) => {
                let sockets = [listener.as_raw_fd()];
                let given = Given { sockets: &sockets, names: "data" };
                self.setup.start_by(given.command(program.to_str().unwrap()))
            }
            None => self.setup.start(),
        };
        let address = server.data;
        self.server = Some(server);
        address
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it runs between two steps")
    }

    /// Stops it as a balancer that honours readiness sees it, and starts it again.
    fn drain(&mut self, (calm, index): (&Calm, usize), program: &Path) {
        self.server().signal(Signal::TERM);
        if self.kept.is_none() {
            self.server().await_logged("draining");
            calm.nodes.lock().unwrap()[index] = None;
        }
        let server = self.server();
        let code = server.wait(STOP_TIMEOUT);
        if code != Some(0) {
            calm.wrong(format!("a drain ended with {code:?}: {}", server.said()));
        }
        let address = self.start(program);
        calm.nodes.lock().unwrap()[index] = Some(address);
    }
}

/// Runs it; gives what was wrong.
pub fn run(arguments: &Arguments) -> Vec<String> {
    let plan = Plan { settings: SETTINGS, ..Plan::new(POPUPS) };
    let cluster = (!arguments.is_embedded).then(|| Cluster::new(plan));
    let program = arguments.program.clone();
    let node = |_| match &cluster {
        Some(cluster) => Node { setup: cluster.node().program(&program), server: None, kept: None },
        None => {
            let setup = Setup::new(POPUPS).config(&format!("{SETTINGS}{PATIENT}"));
            let setup = setup.flags(&["--shards", "2", "--no-pin"]).program(&program);
            Node { setup, server: None, kept: None }
        }
    };
    let count = if arguments.is_embedded { 1 } else { 2 };
    let mut nodes: Vec<Node> = (0..count).map(node).collect();
    let calm = Calm::default();
    for node in &mut nodes {
        let address = node.start(&program);
        calm.nodes.lock().unwrap().push(Some(address));
    }
    let first = cluster.as_ref().map_or_else(Vec::new, |_| first_shows(&mut nodes));
    let mut gaps_ms = Vec::new();
    let mut tokens: Vec<String> = std::thread::scope(|scope| {
        let calm = &calm;
        let visit = |name| scope.spawn(move || calm.visit(name));
        let visitors: Vec<_> = (0..arguments.clients).map(visit).collect();
        let end = End(calm);
        for number in 0..arguments.upgrades {
            calm.await_some();
            nodes[number % count].server().hand_over();
        }
        for node in &mut nodes {
            gaps_ms.extend(gaps_of(node.server()));
        }
        if arguments.is_embedded && arguments.drains > 0 {
            keep_socket(&mut nodes[0], calm, &program);
        }
        for number in 0..arguments.drains {
            calm.await_some();
            let index = number % count;
            nodes[index].drain((calm, index), &program);
        }
        calm.await_some();
        drop(end);
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    });
    tokens.extend(first);
    nodes.iter_mut().filter_map(|node| node.server.take()).for_each(Server::stop);
    let decided = decided(cluster.as_ref(), &nodes);
    let mut wrong = calm.mistakes.into_inner().unwrap();
    let longest_ms = calm.longest_wait_ms.into_inner();
    println!(
        "{} upgrades, {} drains: {} requests on {} connections, {} wrong; longest wait of a \
         newcomer {longest_ms} ms, longest gap between two processes {} ms; {} shows, {} rows",
        arguments.upgrades,
        arguments.drains,
        calm.answered.into_inner(),
        calm.connections.into_inner(),
        wrong.len(),
        gaps_ms.iter().max().unwrap_or(&0),
        tokens.len(),
        decided.len(),
    );
    if gaps_ms.len() != arguments.upgrades {
        wrong.push(format!("{} of {} upgrades", gaps_ms.len(), arguments.upgrades));
    }
    if longest_ms > arguments.wait_max_ms {
        wrong.push(format!("a newcomer waited {longest_ms} ms"));
    }
    wrong.extend(wrong_rows(&tokens, &decided));
    wrong
}

/// The token of a show by each node, once Redis has every user: a node is ready before that, and
/// answers degraded.
fn first_shows(nodes: &mut [Node]) -> Vec<String> {
    until("a node has filled Redis", || {
        let has_filled = |node: &mut Node| !node.server().logged("rebuild_ended").is_empty();
        nodes.iter_mut().any(has_filled).then_some(())
    });
    let shown_by = |(number, node): (usize, &mut Node)| {
        until("a node shows something", || {
            let target = format!("/v1/decide?user=first-{number}");
            let answer = Client::connect(node.server().data).ask("GET", &target, "");
            (answer.status == 200).then(|| answer.token().unwrap())
        })
    };
    nodes.iter_mut().enumerate().map(shown_by).collect()
}

/// Each show is there once, and nothing else is.
fn wrong_rows(tokens: &[String], decided: &HashSet<String>) -> Option<String> {
    let missing = tokens.iter().filter(|token| !decided.contains(*token)).count();
    let (rows, shows) = (decided.len(), tokens.len());
    let is_wrong = missing > 0 || rows != shows;
    is_wrong.then(|| format!("{missing} shows are missing; {rows} rows for {shows}"))
}

/// The same node on a socket that stays, from one process to the next.
fn keep_socket(node: &mut Node, calm: &Calm, program: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let former = node.server.take().expect("it runs");
    // Newcomers wait there, while who is there already is asked to close.
    calm.nodes.lock().unwrap()[0] = Some(address);
    former.stop();
    node.kept = Some(listener);
    assert_eq!(node.start(program), address);
}

fn gaps_of(server: &Server) -> Vec<u64> {
    server.logged("taken_over").iter().filter_map(|line| line.number("gap_ms")).collect()
}

/// The tokens of all decisions that SQL has.
fn decided(cluster: Option<&Cluster>, nodes: &[Node]) -> HashSet<String> {
    match cluster {
        Some(cluster) => cluster
            .rows("SELECT decision FROM events WHERE action = 'decided'")
            .into_iter()
            .collect(),
        None => database::decided(nodes[0].setup.data()),
    }
}

/// Ends the clients when it goes.
struct End<'a>(&'a Calm);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
