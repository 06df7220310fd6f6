//! The new process's side: takes the sockets, prepares what needs no lock, waits until the old one
//! has let go.

use std::path::Path;
use std::time::{Duration, Instant};

use super::given::GivenSockets;
use super::{ALL, FROM, GO, PREPARED, REFUSED, SERVING, STOP};
use crate::node::failure::Failure;
use crate::node::ownership;
use nudged_base::limits::HAND_OVER_LOCK_MS;
use nudged_base::time::MonoNs;
use nudged_runtime::messages::{MessageSocket, ReceivedMessage};

/// The old process sends its sockets at once.
const SOCKETS_TIMEOUT: Duration = Duration::from_secs(10);
/// The old one ends within this, once it is told that this one serves; nothing rests on it.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// A wait that is as good as one without end.
const LONG: Duration = Duration::from_secs(3_600);

/// The process to take over from.
#[derive(Debug)]
pub(in crate::node) struct Predecessor {
    words: MessageSocket,
}

/// How the wait for it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum GoAhead {
    /// It has let go, and accepted last at this time; `None` where it died instead.
    Go(Option<MonoNs>),
    /// It goes on, or stops for good: this one is not needed.
    Stop,
}

impl Predecessor {
    /// Takes the sockets that it sends.
    ///
    /// # Errors
    /// Where they don't come.
    pub(in crate::node) fn meet(
        words: MessageSocket,
    ) -> Result<(Predecessor, GivenSockets), Failure> {
        let failed = Failure::system("take over the sockets of the old process");
        let mut given = GivenSockets::default();
        loop {
            match words.receive(SOCKETS_TIMEOUT).map_err(&failed)? {
                ReceivedMessage::Message(text, _) if text == ALL => break,
                ReceivedMessage::Message(text, descriptors) => {
                    if let Some(process) = text.strip_prefix(FROM) {
                        given.from = process.trim().parse().ok();
                    }
                    given.take_message(&text, descriptors);
                }
                ReceivedMessage::Nothing => {
                    return Err(failed(std::io::ErrorKind::TimedOut.into()));
                }
                ReceivedMessage::Ended => {
                    return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        Ok((Predecessor { words }, given))
    }

    /// Says that this process can't take over.
    pub(in crate::node) fn refuse(&self, why: &str) {
        // One that has gone needs no word.
        let _ = self.words.send(&format!("{REFUSED} {why}"), &[]);
    }

    /// Says that all is prepared, and waits until it lets go. One that dies meanwhile has let go.
    pub(in crate::node) fn await_go(&self) -> GoAhead {
        let _ = self.words.send(PREPARED, &[]);
        loop {
            let text = match self.words.receive(LONG) {
                Ok(ReceivedMessage::Message(text, _)) => text,
                Ok(ReceivedMessage::Nothing) => continue,
                Ok(ReceivedMessage::Ended) | Err(_) => return GoAhead::Go(None),
            };
            let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
            match word {
                GO => return GoAhead::Go(rest.parse().ok().map(MonoNs)),
                STOP => return GoAhead::Stop,
                _ => {}
            }
        }
    }

    /// Says that this process accepts, and waits a little for the end of the old one.
    pub(in crate::node) fn say_serving(&self) {
        let _ = self.words.send(SERVING, &[]);
        let until = Instant::now() + END_TIMEOUT;
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            if !matches!(self.words.receive(left), Ok(ReceivedMessage::Message(..))) {
                return;
            }
        }
    }
}

/// Waits until nobody has the data directory: a process that ends closes its files one by one.
pub(in crate::node) fn await_lock(data: &Path) {
    let until = Instant::now() + Duration::from_millis(HAND_OVER_LOCK_MS);
    while ownership::holder(data).is_some() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_WAITS: Duration = Duration::ZERO;

    #[test]
    fn words_of_the_old_process() {
        let table: [(&[&str], GoAhead); 5] = [
            (&["go 17"], GoAhead::Go(Some(MonoNs(17)))),
            (&["later 1", "go"], GoAhead::Go(None)),
            (&["stop"], GoAhead::Stop),
            (&[], GoAhead::Go(None)),
            (&["later"], GoAhead::Go(None)),
        ];
        for (said, wanted) in table {
            let (old, new) = MessageSocket::pair().unwrap();
            for text in ["from 12", "socket moon own x", ALL].iter().chain(said) {
                old.send(text, &[]).unwrap();
            }
            let (predecessor, given) = Predecessor::meet(new).unwrap();
            assert_eq!(given.from, Some(12));
            if said.is_empty() {
                drop(old);
                assert_eq!(predecessor.await_go(), wanted);
                continue;
            }
            if said == ["later"] {
                // It dies after all.
                drop(old);
                assert_eq!(predecessor.await_go(), wanted);
                continue;
            }
            assert_eq!(predecessor.await_go(), wanted);
            let heard = old.receive(NOTHING_WAITS).unwrap();
            assert!(matches!(heard, ReceivedMessage::Message(text, _) if text == PREPARED));
        }
    }
}
