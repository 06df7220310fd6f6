//! What each order of the keeper asks of Redis, as `runtime::keeper::orders` carries it out. What
//! is of this node alone is done at once; an epoch is had from SQL first.

use nudged_background::keeper::core::Order;
use nudged_background::keeper::ledger::Vanishing;
use nudged_background::keeper::scripts;
use nudged_base::ids::Partition;
use nudged_base::limits::REBUILD_LOCK_MS;
use nudged_redis::command::Phase;

use super::fill::Filler;
use super::keeper::{call, load, words};
use super::node::Node;
use super::redis::Words;
use super::scene::Scene;
use super::sql::Sql;

impl Node {
    /// Begins an order: leaves the commands that it is made of to be executed.
    pub(super) fn begin_order(&mut self, order: Order, sql: &mut Sql, scene: &mut Scene) {
        let node = self.keeper.node.to_string();
        let token = self.keeper.token.clone();
        let lead = |for_ms: u64| {
            let for_ms = for_ms.to_string();
            let arguments: [&[u8]; 2] = [token.as_bytes(), for_ms.as_bytes()];
            vec![load(scripts::LEAD), call(scripts::LEAD, scripts::LOCK, &arguments)]
        };
        let say = |key: String, members: &[&[u8]]| {
            let mut add = words(&[b"SADD", key.as_bytes()]);
            add.extend(members.iter().map(|member| member.to_vec()));
            vec![add, words(&[b"EXPIRE", key.as_bytes(), b"604800"])]
        };
        let is_quiet = matches!(order, Order::Settle(_) | Order::TakeLead | Order::KeepLead);
        self.keeper.is_news |= !is_quiet;
        self.keeper.is_taking_lead = matches!(order, Order::TakeLead);
        let commands = match order {
            Order::Hold(partitions) => {
                each(scripts::HOLD, partitions, |(at, epoch)| (at, vec![epoch.to_string()]))
            }
            Order::Settle(partitions) => {
                partitions.iter().for_each(|partition| self.board.settle(*partition));
                Vec::new()
            }
            Order::SayCompared { run, is_cleared } => {
                let mut members = vec![node.as_bytes()];
                members.extend(is_cleared.then_some(scripts::CLEARED.as_bytes()));
                say(scripts::compared_key(run), &members)
            }
            Order::Clear { run } => {
                self.board.clear_run(run);
                self.wake_shards(scene);
                Vec::new()
            }
            Order::TakeLead | Order::KeepLead => lead(REBUILD_LOCK_MS),
            Order::LeaveLead => lead(0),
            Order::Begin { at_least, run, evicted, vanishing, partitions } => {
                let told = (format!("{run}:{evicted}"), vanishing.map_or("", Vanishing::mark));
                self.begin_epoch((at_least, run), told, partitions, (sql, scene))
            }
            Order::Doubt(partitions) => each(scripts::DOUBT, partitions, |(at, epoch, why)| {
                (at, vec![epoch.to_string(), why.mark().to_owned()])
            }),
            Order::Answer(seal) => say(scripts::answered_key(seal), &[node.as_bytes()]),
            Order::Advance { from, partitions } => {
                let (before, after) = match from {
                    Phase::Barrier => ("b", "f"),
                    Phase::Filling => ("f", ""),
                    Phase::Open => unreachable!("nothing follows from open"),
                };
                each(scripts::ADVANCE, partitions, |(at, epoch)| {
                    (at, vec![epoch.to_string(), before.to_owned(), after.to_owned()])
                })
            }
            Order::Fill(partitions) => {
                self.keeper.filler = Some(Filler::new(&partitions));
                Vec::new()
            }
            Order::FillOn => {
                self.keeper.filler.as_mut().expect("it was begun").go_on();
                Vec::new()
            }
            Order::FillStop => {
                self.keeper.filler = None;
                Vec::new()
            }
        };
        self.keeper.commands = commands.into();
    }

    fn begin_epoch(
        &mut self,
        (at_least, run): (u32, u64),
        (evicted, mark): (String, &str),
        partitions: Vec<(Partition, Option<u32>)>,
        (sql, scene): (&mut Sql, &Scene),
    ) -> Vec<Words> {
        if !self.keeper.may_ask_sql(scene) {
            self.keeper.is_news = false;
            return Vec::new();
        }
        let Ok(epoch) = sql.next_epoch(at_least) else {
            self.keeper.sql_failed(scene);
            self.keeper.is_news = false;
            return Vec::new();
        };
        let mut commands = each(scripts::BEGIN, partitions, |(at, before)| {
            let before = before.map_or(String::new(), |before: u32| before.to_string());
            (at, vec![epoch.to_string(), before, evicted.clone(), mark.to_owned()])
        });
        let (epoch, run) = (epoch.to_string(), run.to_string());
        let key = scripts::REBUILD.as_bytes();
        commands.push(words(&[b"HSET", key, b"epoch", epoch.as_bytes(), b"run", run.as_bytes()]));
        commands
    }
}

fn each<T>(
    body: &str,
    of: Vec<T>,
    arguments: impl Fn(T) -> (Partition, Vec<String>),
) -> Vec<Words> {
    let mut commands = vec![load(body)];
    commands.extend(of.into_iter().map(|one| {
        let (partition, arguments) = arguments(one);
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        call(body, &scripts::meta_key(partition), &arguments)
    }));
    commands
}
