//! Threads that a node can't do without. One that ends though nobody told it to, by a panic, by a
//! failure or killed by the system, ends the process with one error and [`EXIT_CODE`]: a node that
//! is half alive answers, and does half of what it promises.
//!
//! ```text
//! thread: Needed::here -> its work -> leave(told)     not told: the process ends
//!         panic anywhere -> hook ------------------------------ the process ends
//! watch:  every WATCH_PERIOD: is each of them still there? ---- else the process ends
//! ```
//!
//! The table is the process's, as its exit code is. Where nobody watches (tests of single parts),
//! threads may end as they like.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use rustix::thread::{Pid, gettid};

use crate::clocks;
use crate::threads::log_writer::{write_last, write_out};
use nudged_base::telemetry::log::{Log, LogValue, Message};

/// The exit code of a process that a thread has ended.
pub(crate) const EXIT_CODE: i32 = 70;
/// How often the threads are looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(250);
/// The last words are written within this; a reader of the log that hangs must not keep a process
/// that has to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

static TABLE: Mutex<Vec<(Pid, String)>> = Mutex::new(Vec::new());
static LOG: OnceLock<Log> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static ROUNDS: AtomicU64 = AtomicU64::new(0);

fn table() -> MutexGuard<'static, Vec<(Pid, String)>> {
    // Each change is one step, so a poisoned lock holds a whole table.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calling thread's place in the table.
#[derive(Debug)]
#[must_use]
pub struct Needed(Pid);

impl Needed {
    /// The calling thread is needed from now on.
    pub fn here(name: &str) -> Needed {
        let thread = gettid();
        table().push((thread, name.to_owned()));
        Needed(thread)
    }

    /// The thread's work is over. Unless it was told to end, the process ends.
    pub fn leave(self, was_told: bool) {
        let mut table = table();
        let place = table.iter().position(|(thread, _)| *thread == self.0);
        let entry = place.map(|place| table.swap_remove(place));
        drop(table);
        if let Some((_, name)) = entry.filter(|_| !was_told && LOG.get().is_some()) {
            end(&name, "it ended without being told to");
        }
    }
}

/// From now on this process ends where a thread panics, or one that is needed is gone.
///
/// # Errors
/// Where the system gives no thread.
pub fn watch(log: &Log) -> io::Result<()> {
    // A process runs one node.
    let _ = LOG.set(log.clone());
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let mut why = String::from("it panicked");
        if let Some(place) = panic.location() {
            let _ = write!(why, " at {}:{}", place.file(), place.line());
        }
        let literal = panic.payload().downcast_ref::<&str>().copied();
        let made = panic.payload().downcast_ref::<String>().map(String::as_str);
        // What follows a colon or the first line may be a value, and a value a visitor's.
        let words = literal.or(made).and_then(|words| words.lines().next()).unwrap_or("");
        let words = words.split(": ").next().unwrap_or("");
        let _ = write!(why, ": {words}");
        print_backtrace();
        end(thread.name().unwrap_or("without a name"), &why);
    }));
    Builder::new().name("watch".to_owned()).spawn(|| {
        loop {
            std::thread::sleep(WATCH_PERIOD);
            ROUNDS.fetch_add(1, Ordering::Relaxed);
            if let Some(name) = first_gone() {
                end(&name, "it was killed");
            }
        }
    })?;
    Ok(())
}

/// How often the threads have been looked at.
pub(crate) fn rounds() -> u64 {
    ROUNDS.load(Ordering::Relaxed)
}

/// For whoever looks for the reason with `RUST_BACKTRACE=1`.
fn print_backtrace() {
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        write_last(format!("{trace}\n").as_bytes());
    }
}

/// A thread of the table that the kernel does not know any more.
fn first_gone() -> Option<String> {
    let is_gone = |thread: Pid| {
        let path = format!("/proc/self/task/{}", thread.as_raw_nonzero());
        let looked = std::fs::symlink_metadata(Path::new(&path));
        looked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    // Where this very thread can't be seen, nothing can be told from others.
    if is_gone(gettid()) {
        return None;
    }
    table().iter().find(|(thread, _)| is_gone(*thread)).map(|(_, name)| name.clone())
}

/// Ends the process: one error, exit code 70. Of several threads that fail at once, one speaks.
pub fn end(thread: &str, why: &str) -> ! {
    if IS_ENDING.swap(true, Ordering::AcqRel) {
        loop {
            std::thread::park();
        }
    }
    // Without it, the words below may wait as long as they like.
    let _ = Builder::new().spawn(|| {
        std::thread::sleep(LAST_WORDS);
        std::process::exit(EXIT_CODE);
    });
    match LOG.get() {
        Some(log) => {
            write_out(log);
            let fields = [("thread", LogValue::Text(thread)), ("error", LogValue::Text(why))];
            let line = log.line(clocks::now(), Message::ThreadEnded, &fields);
            write_last(line.as_bytes());
        }
        None => write_last(format!("nudged: the thread {thread} has ended: {why}\n").as_bytes()),
    }
    std::process::exit(EXIT_CODE);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells the process that this test starts what to do.
    const CHILD: &str = "NUDGED_TEST_PANICS";

    #[test]
    fn a_panic_ends_the_process_with_one_line_that_shows_no_value() {
        if std::env::var_os(CHILD).is_some() {
            let log = Log::new(nudged_base::telemetry::log::Level::Info, true, &[]);
            watch(&log).unwrap();
            let user: Result<u8, std::num::ParseIntError> = "canary".parse();
            let user = user.map_err(|_| "canary");
            let thread = Builder::new().name("frail".to_owned()).spawn(move || user.unwrap());
            let _ = thread.unwrap().join();
            unreachable!("the process has ended");
        }
        let name = "a_panic_ends_the_process_with_one_line_that_shows_no_value";
        let name = format!("threads::vital::tests::{name}");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &name, "--nocapture"]).env(CHILD, "1").env_remove("RUST_BACKTRACE");
        let output = child.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(EXIT_CODE), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("\"thread\":\"frail\"") && said.contains("vital.rs:"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn a_thread_that_is_gone_is_found_and_one_that_left_is_not() {
        let is_listed = |name: &str| table().iter().any(|(_, listed)| listed == name);
        std::thread::spawn(|| Needed::here("vital-test-left").leave(true)).join().unwrap();
        assert!(!is_listed("vital-test-left"));
        // It ends as a killed thread would: without leaving.
        let thread = std::thread::spawn(|| {
            let _ = Needed::here("vital-test-gone");
            gettid()
        });
        let thread = thread.join().unwrap();
        let begun = std::time::Instant::now();
        // The kernel may still be at its end.
        while first_gone().as_deref() != Some("vital-test-gone") {
            assert!(begun.elapsed() < Duration::from_secs(10), "{thread:?}");
            std::thread::yield_now();
        }
        table().retain(|(listed, _)| *listed != thread);
    }
}
