//! Filling Redis from SQL, as `runtime::keeper::fill` does it, in steps between which anything may
//! happen: what an older file has brought back is raised to what SQL has, then every user of SQL
//! who is missing is written.

use nudged::base::ids::{Partition, Revision, UserKey};
use nudged::base::limits::PARTITIONS;
use nudged::keeper::core::Filling;
use nudged::keeper::scripts;
use nudged::redis::ask::Answer;
use nudged::state::user::{UserState, encode};

use super::keeper::{call, words};
use super::node::Node;
use super::redis::Words;
use super::scene::Scene;
use super::sql::Sql;

/// Users that are read at once: few, so that there are many steps.
const USERS: usize = 3;
/// Steps between two rounds.
const STEPS: u32 = 6;

#[derive(Debug)]
enum State {
    /// Through the keys of Redis.
    Scan {
        cursor: String,
    },
    /// Through the users of SQL.
    List {
        after: String,
    },
    /// These are to be read in SQL; then that.
    Read {
        users: Vec<String>,
        is_present: bool,
        then: Box<State>,
    },
    /// These are to be executed; then that.
    Refill {
        commands: Vec<Words>,
        then: Box<State>,
    },
    Done,
}

/// How far a filling is.
pub struct Filler {
    partitions: Vec<bool>,
    state: State,
    steps_left: u32,
}

impl Filler {
    /// A filling of these partitions begins.
    pub fn new(partitions: &[Partition]) -> Filler {
        let mut wanted = vec![false; usize::from(PARTITIONS)];
        partitions.iter().for_each(|partition| wanted[usize::from(partition.0)] = true);
        let state = State::Scan { cursor: "0".to_owned() };
        Filler { partitions: wanted, state, steps_left: STEPS }
    }

    /// It works for a while.
    pub fn go_on(&mut self) {
        self.steps_left = STEPS;
    }

    /// Whether it has something to do before the next round.
    pub fn is_working(&self) -> bool {
        self.steps_left > 0 && !matches!(self.state, State::Done)
    }

    fn wanted(&self, users: Vec<String>) -> Vec<String> {
        let is_wanted = |user: &String| {
            let partition = UserKey::of(user.as_bytes()).partition();
            self.partitions[usize::from(partition.0)]
        };
        users.into_iter().filter(is_wanted).collect()
    }

    /// Takes the answers to what it had asked. Where Redis drops users by itself, those who are
    /// missing stay so.
    pub fn take(&mut self, answers: &[Answer], is_dropping: bool) {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Scan { .. } => {
                let Answer::List(parts) = &answers[0] else { panic!("{answers:?}") };
                let [Answer::Text(next), Answer::List(keys)] = parts.as_slice() else {
                    panic!("{answers:?}")
                };
                let user = |key: &Answer| match key {
                    Answer::Text(key) => scripts::user_of_key(key).map(str::to_owned),
                    _ => None,
                };
                let users = self.wanted(keys.iter().filter_map(user).collect());
                let next = String::from_utf8_lossy(next).into_owned();
                let then = match next.as_str() {
                    "0" if is_dropping => State::Done,
                    "0" => State::List { after: String::new() },
                    _ => State::Scan { cursor: next },
                };
                State::Read { users, is_present: true, then: Box::new(then) }
            }
            State::Refill { then, .. } => *then,
            other => unreachable!("{other:?} asks nothing"),
        };
    }
}

/// How far a filling is, for the keeper.
pub fn filling_of(filler: Option<&Filler>) -> Filling {
    match filler.map(|filler| &filler.state) {
        None => Filling::Idle,
        Some(State::Done) => Filling::Done,
        Some(_) => Filling::Running,
    }
}

impl Node {
    /// The filler's next step; gives what it asks Redis, if anything.
    pub(super) fn fill_step(&mut self, sql: &Sql, scene: &Scene) -> Vec<Words> {
        let may_ask_sql = self.keeper.may_ask_sql(scene);
        let filler = self.keeper.filler.as_mut().expect("the caller has seen it");
        filler.steps_left -= 1;
        let result = match &filler.state {
            State::Scan { cursor } => {
                let pattern = scripts::USERS_PATTERN.as_bytes();
                return vec![words(&[
                    b"SCAN",
                    cursor.as_bytes(),
                    b"MATCH",
                    pattern,
                    b"COUNT",
                    USERS.to_string().as_bytes(),
                ])];
            }
            State::Refill { commands, .. } => return commands.clone(),
            State::Done => return Vec::new(),
            _ if !may_ask_sql => {
                filler.steps_left = 0;
                return Vec::new();
            }
            State::List { after } => sql.users_after(after, USERS).map(|users| {
                let then = match users.last() {
                    Some(last) if users.len() == USERS => State::List { after: last.clone() },
                    _ => State::Done,
                };
                let users = filler.wanted(users);
                State::Read { users, is_present: false, then: Box::new(then) }
            }),
            State::Read { users, is_present, .. } => {
                let read = users.iter().map(|user| Ok((user.clone(), sql.read(user)?)));
                read.collect::<Result<Vec<_>, _>>().map(|read| {
                    let known = read.into_iter();
                    let known = known.filter(|(_, state)| state.revision > Revision::default());
                    let calls = known.map(|(user, state)| refill(&user, &state, *is_present));
                    let load = words(&[b"SCRIPT", b"LOAD", scripts::REFILL.as_bytes()]);
                    let commands = std::iter::once(load).chain(calls).collect();
                    State::Refill { commands, then: Box::new(State::Done) }
                })
            }
        };
        match (result, std::mem::replace(&mut filler.state, State::Done)) {
            (Ok(State::Refill { commands, .. }), State::Read { then, .. }) => {
                filler.state = State::Refill { commands, then };
            }
            (Ok(next), _) => filler.state = next,
            (Err(_), former) => {
                (filler.state, filler.steps_left) = (former, 0);
                self.keeper.sql_failed(scene);
            }
        }
        Vec::new()
    }
}

fn refill(user: &str, state: &UserState, is_present: bool) -> Words {
    let partition = UserKey::of(user.as_bytes()).partition();
    let mut revision = state.revision.epoch.to_be_bytes().to_vec();
    revision.extend_from_slice(&state.revision.counter.to_be_bytes());
    let mut encoded = Vec::new();
    encode(state, &mut encoded);
    let flag: &[u8] = if is_present { b"1" } else { b"0" };
    let key = scripts::user_key(partition, user);
    call(scripts::REFILL, &key, &[&revision, &encoded, b"0", flag])
}
