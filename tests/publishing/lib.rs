//! What a publisher stands between: shards that answer at once, and a data directory with a popups
//! file. For the tests of the crates that publish and that ask for it.
#![allow(clippy::unwrap_used, missing_docs, reason = "what only tests use")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use nudged_base::ids::ShardId;
use nudged_base::limits::LOG_SETTLE_MS;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_domain::state::user::{self, UserState};
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_shard::control::{ControlOutcome, ControlReply, ControlRequest};

/// When a fake shard erases.
pub const ERASED_AT: WallMs = WallMs(1_767_225_600_000);

/// Shards that do as they are told and remember it.
pub struct FakeShards {
    pub mesh: Arc<Mesh>,
    /// What each was told, in order.
    pub told: Arc<Mutex<Vec<(u16, String)>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl FakeShards {
    pub fn start(count: u16, state: &UserState) -> FakeShards {
        let mesh = Arc::new(Mesh::new(count).unwrap());
        mesh.redis_status.start();
        let told = Arc::<Mutex<Vec<(u16, String)>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let mut bytes = Vec::new();
        user::encode(state, &mut bytes);
        let run = |shard| {
            let (mesh, told, stop) = (Arc::clone(&mesh), Arc::clone(&told), Arc::clone(&stop));
            let bytes = bytes.clone();
            std::thread::spawn(move || {
                let lanes = mesh.of(ShardId(shard));
                while !stop.load(Ordering::Acquire) {
                    while let Some(envelope) = lanes.controls.pop() {
                        let (text, outcome) = carry_out(envelope.command, &bytes);
                        told.lock().unwrap().push((shard, text));
                        envelope.reply.send(ControlReply { ticket: 0, outcome }).unwrap();
                    }
                    lanes.waker.sleep_unless(|| {
                        !lanes.controls.is_empty() || stop.load(Ordering::Acquire)
                    });
                }
            })
        };
        let threads = (0..count).map(run).collect();
        FakeShards { mesh, told, stop, threads }
    }

    /// What was told since the last call.
    pub fn take_told(&self) -> Vec<(u16, String)> {
        let mut told = std::mem::take(&mut *self.told.lock().unwrap());
        told.sort();
        told
    }
}

impl Drop for FakeShards {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for lanes in &self.mesh.shards {
            lanes.waker.wake();
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn carry_out(command: ControlRequest, state: &[u8]) -> (String, ControlOutcome) {
    match command {
        ControlRequest::SwapCatalog(snapshot) => {
            (format!("catalog {}", snapshot.version), ControlOutcome::Swapped(snapshot))
        }
        ControlRequest::SwapPreview(snapshot) => {
            let popups = snapshot.map_or(0, |snapshot| snapshot.popups.len());
            (format!("preview of {popups}"), ControlOutcome::Done)
        }
        ControlRequest::SwapRules(rules) => (format!("{:?}", rules.cors), ControlOutcome::Done),
        ControlRequest::ReadUser { user } => {
            (format!("read {user}"), ControlOutcome::State(state.to_vec()))
        }
        ControlRequest::EraseUser { user } if &*user == "stuck" => {
            ("stuck".to_owned(), ControlOutcome::Unavailable)
        }
        ControlRequest::EraseUser { user } => {
            (format!("erase {user}"), ControlOutcome::Erased { at: ERASED_AT })
        }
        ControlRequest::ForgetUser { user, .. } => (format!("forget {user}"), ControlOutcome::Kept),
        ControlRequest::Drain(step) => (format!("{step:?}"), ControlOutcome::Done),
    }
}

/// A node's data directory with a popups file, and what a reload reads.
pub struct NodeDirectory {
    directory: TempDir,
    /// The configuration, or the lines of what is wrong with it.
    pub config: Arc<Mutex<Result<Config, Vec<String>>>>,
    pub log: Log,
}

impl NodeDirectory {
    pub fn with_popups(text: &str) -> NodeDirectory {
        let directory = tempfile::tempdir().unwrap();
        let node = NodeDirectory {
            config: Arc::new(Mutex::new(Ok(Config {
                data: directory.path().to_owned(),
                popups: Some(directory.path().join("popups.toml")),
                ..Config::default()
            }))),
            directory,
            log: Log::new(Level::Debug, false, &[]),
        };
        node.write_popups(text);
        node
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn popups_path(&self) -> PathBuf {
        self.path().join("popups.toml")
    }

    pub fn write_popups(&self, text: &str) {
        std::fs::write(self.popups_path(), text).unwrap();
    }

    pub fn change(&self, change: impl FnOnce(&mut Config)) {
        change(self.config.lock().unwrap().as_mut().unwrap());
    }

    /// The log's lines so far, those that would come a second later included.
    pub fn logged(&self) -> String {
        let mut later = clocks::now();
        later.mono = later.mono.plus_ms(LOG_SETTLE_MS);
        self.log.sweep(later);
        std::iter::from_fn(|| self.log.next_line()).collect()
    }
}
