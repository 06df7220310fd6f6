//! `nudged top`: a live view of a running node in the terminal. A thread asks the node, so that no
//! key waits for it; what it has seen is drawn by this one, which owns the terminal and gives it
//! back however the program ends.
//!
//! Exit codes: 0, 1 the node does not answer (`--once`), 2 the configuration has errors, 3 the
//! terminal can't be used.

mod sample;
mod screen;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{StyledContent, Stylize as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::sample::TopSample;
use self::screen::Screen;
use super::admin_client::{AdminClient, AskError};
use super::arguments::{SharedArguments, TopArguments};
use super::explain;
use super::failure::Failure;

/// How long a key is waited for before signals and new looks are looked for.
const KEY_PERIOD: Duration = Duration::from_millis(100);
/// Columns and lines of a snapshot that is printed.
const PRINTED: (usize, usize) = (100, 400);
const KEYS: &str = "q quit  p pause  h help";
const HELP: [&str; 8] = [
    "Rates are of the time between two looks; latency is from the turn that took a",
    "request up to the end of the one that answered it, within its bucket.",
    "HIT %   requests whose user's state was in the shard's slice",
    "HOPS/S  requests sent to the shard that owns their user",
    "CPU %   of one CPU, the kernel's included",
    "LOAD    share of the last 5 seconds in which the shard was not asleep",
    "lag     records that are in the journal and not in SQL, and how long the oldest waited",
    "p pauses, q or Esc or Ctrl-C quits, h closes this",
];

/// What a look at the node has given.
type Look = Result<TopSample, AskError>;

/// Shows a running node until a key or a signal ends it; or prints one snapshot.
///
/// # Errors
/// Where the configuration has errors, the terminal can't be used, or a snapshot can't be had.
pub fn run(shared: &SharedArguments, arguments: &TopArguments) -> Result<(), Failure> {
    let node = AdminClient::load(shared, &arguments.node)?;
    let period = Duration::from_secs(arguments.interval);
    if arguments.once || !io::stdout().is_terminal() {
        return print_once(&node, period);
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .map_err(Failure::system("take signals"))?;
    }
    let looks = look_on(node, period)?;
    let screen = Screen::take().map_err(Failure::system("set the terminal up"))?;
    let shown = Top::default().run(&screen, &looks, &ended);
    // A terminal that is gone can't be given back, and nobody is there to be told so.
    if screen.give_back().is_err() {
        return Ok(());
    }
    shown.map_err(Failure::system("draw on the terminal"))
}

fn print_once(node: &AdminClient, period: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    let failed = |error: AskError| Failure::Asking(error.to_string());
    let earlier = look(node, begun).map_err(failed)?;
    std::thread::sleep(period);
    let now = look(node, begun).map_err(failed)?;
    let mut text = view::lines((&earlier, &now), PRINTED).join("\n");
    text.push('\n');
    // A reader that has gone, as with `| head`, is no error.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Looks at the node again and again, on a thread of its own that ends with its receiver.
fn look_on(node: AdminClient, period: Duration) -> Result<Receiver<Look>, Failure> {
    let (sender, looks) = bounded(1);
    let spawned = std::thread::Builder::new().name("looks".to_owned()).spawn(move || {
        let begun = Instant::now();
        while sender.send(look(&node, begun)).is_ok() {
            std::thread::sleep(period);
        }
    });
    spawned.map_err(Failure::system("start a thread"))?;
    Ok(looks)
}

fn look(node: &AdminClient, begun: Instant) -> Look {
    let status = node.ask("GET", "/v1/status")?;
    let metrics = node.ask_bytes("GET", "/metrics")?;
    let at_s = begun.elapsed().as_secs_f64();
    Ok(TopSample::read(at_s, &String::from_utf8_lossy(&metrics), status))
}

/// Whether keys can still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeySource {
    MayCome,
    /// The terminal is gone. Whoever reads from it then gets nothing, again and again, and the
    /// library that reads keys never comes back from that.
    Gone,
}

/// Waits for a key, a while at most.
fn await_keys() -> io::Result<KeySource> {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec::try_from(KEY_PERIOD).map_err(io::Error::other)?;
    match poll(&mut terminal, Some(&limit)) {
        // A signal, which is looked at next.
        Err(rustix::io::Errno::INTR) => Ok(KeySource::MayCome),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let is_gone = terminal[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
            Ok(if is_gone { KeySource::Gone } else { KeySource::MayCome })
        }
    }
}

/// What is on the screen.
#[derive(Default)]
struct Top {
    earlier: Option<TopSample>,
    now: Option<TopSample>,
    /// Since when the node gives no answer, and why.
    silent: Option<(String, String)>,
    is_paused: bool,
    is_help: bool,
}

impl Top {
    fn run(
        mut self,
        screen: &Screen,
        looks: &Receiver<Look>,
        ended: &AtomicBool,
    ) -> io::Result<()> {
        let mut is_stale = true;
        while !ended.load(Ordering::Relaxed) {
            if std::mem::take(&mut is_stale) {
                screen.draw(|columns, height| self.lines(columns, height))?;
            }
            if await_keys()? == KeySource::Gone {
                return Ok(());
            }
            if event::poll(Duration::ZERO)? {
                is_stale = true;
                if let Event::Key(key) = event::read()?
                    && key.kind == KeyEventKind::Press
                {
                    match (key.code, key.modifiers) {
                        (KeyCode::Char('q') | KeyCode::Esc, _) => return Ok(()),
                        (KeyCode::Char('c'), KeyModifiers::CONTROL) => return Ok(()),
                        (KeyCode::Char('p'), _) => self.is_paused = !self.is_paused,
                        (KeyCode::Char('h' | '?'), _) => self.is_help = !self.is_help,
                        _ => {}
                    }
                }
            }
            if let Ok(look) = looks.try_recv() {
                is_stale |= self.take(look);
            }
        }
        Ok(())
    }

    /// Takes a look; gives whether it changes what is shown.
    fn take(&mut self, look: Look) -> bool {
        match look {
            Ok(_) if self.is_paused => return false,
            Ok(sample) => {
                // A node that came back counts from 0 again.
                let is_new = |earlier: &TopSample| {
                    earlier.status["started_at"] != sample.status["started_at"]
                };
                self.earlier = self.now.take().filter(|earlier| !is_new(earlier));
                self.now = Some(sample);
                self.silent = None;
            }
            Err(error) => {
                let since = self.silent.take().map_or_else(clock, |(since, _)| since);
                self.silent = Some((since, explain::plain(&error.to_string())));
            }
        }
        true
    }

    /// What is shown in a window of this many columns and lines.
    fn lines(&self, columns: usize, height: usize) -> Vec<StyledContent<String>> {
        let mut lines = vec![match (&self.silent, self.is_paused) {
            (Some((since, why)), _) => format!("no answer since {since}: {why}").red(),
            (None, true) => "paused".to_owned().yellow(),
            (None, false) => KEYS.to_owned().dim(),
        }];
        if self.is_help {
            lines.extend(HELP.map(|line| line.to_owned().stylize()));
        } else if let Some(now) = &self.now {
            let earlier = self.earlier.as_ref().unwrap_or(now);
            let shown = view::lines((earlier, now), (columns, height.saturating_sub(1)));
            lines.extend(shown.into_iter().map(styled));
        } else if self.silent.is_none() {
            lines.push("asking the node".to_owned().stylize());
        }
        lines
    }
}

/// A line of the view, with what matters set off.
fn styled(line: String) -> StyledContent<String> {
    let is_bad = ["UNFIT", "LACKS", "OUTAGE", "HALTED", "NOT READY"];
    if is_bad.iter().any(|bad| line.contains(bad)) {
        line.red().bold()
    } else if line.starts_with("SHARD ") || line.starts_with("POPUP ") {
        line.reverse()
    } else if line.starts_with("nudged ") {
        line.bold()
    } else {
        line.stylize()
    }
}

/// The time of day, for people, in UTC.
fn clock() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%H:%M:%S UTC").to_string()
}
