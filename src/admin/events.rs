//! Events for who listens, as browsers take them (`text/event-stream`): each has a name and one
//! line of JSON. Must not know what they tell.
//!
//! Limits: a client has [`LIVE_STALL_MS`] to take an event, and the kernel keeps
//! [`LIVE_UNREAD_BYTES`] for one that does not read.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::stream::AdminStream;
use nudged_base::limits::{LIVE_RETRY_MS, LIVE_STALL_MS, LIVE_UNREAD_BYTES};
use nudged_http::choice::weighed;

/// Why nobody can be told any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerLost {
    /// The client has gone.
    Gone,
    /// The client does not read.
    Stalled,
}

/// Where events go.
pub(super) struct EventWriter<'s, W> {
    out: &'s mut W,
    stall_max: Duration,
}

impl<'s> EventWriter<'s, AdminStream> {
    /// On a connection whose head is sent.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) fn on(
        stream: &'s mut AdminStream,
    ) -> Result<EventWriter<'s, AdminStream>, ListenerLost> {
        let stall_max = Duration::from_millis(LIVE_STALL_MS);
        stream.set_write_timeout(stall_max).map_err(|_| ListenerLost::Gone)?;
        // Where the kernel keeps more, who does not read is cut later.
        let _ = stream.set_send_buffer(LIVE_UNREAD_BYTES);
        Ok(EventWriter { out: stream, stall_max })
    }
}

impl<W: Write> EventWriter<'_, W> {
    /// Tells an event.
    ///
    /// # Errors
    /// Nobody can be told any more.
    pub(super) fn send(&mut self, name: &str, data: &impl Serialize) -> Result<(), ListenerLost> {
        let data = serde_json::to_string(data).expect("our own values serialize");
        self.write(format!("event: {name}\ndata: {data}\n\n").as_bytes())
    }

    /// Says when to come again once the stream has ended.
    ///
    /// # Errors
    /// Nobody can be told any more.
    pub(super) fn send_retry(&mut self) -> Result<(), ListenerLost> {
        self.write(format!("retry: {LIVE_RETRY_MS}\n\n").as_bytes())
    }

    /// Each write may wait as long as all of them together.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), ListenerLost> {
        let begun = Instant::now();
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(ListenerLost::Gone),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_stall(&error) => return Err(ListenerLost::Stalled),
                Err(_) => return Err(ListenerLost::Gone),
            }
            if !bytes.is_empty() && begun.elapsed() >= self.stall_max {
                return Err(ListenerLost::Stalled);
            }
        }
        Ok(())
    }
}

fn is_stall(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether `Accept` asks for events by name: who takes anything is answered as ever.
pub(super) fn are_accepted(accept: Option<&[u8]>) -> bool {
    let is_named = |(range, weight): (&[u8], u16)| {
        range.eq_ignore_ascii_case(b"text/event-stream") && weight > 0
    };
    weighed(accept.unwrap_or_default()).any(is_named)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_tells() {
        let mut out = Vec::new();
        let mut events = EventWriter { out: &mut out, stall_max: Duration::from_secs(1) };
        events.send_retry().unwrap();
        events.send("log", &json!({ "line": "a\nb\r" })).unwrap();
        let want = "retry: 1000\n\nevent: log\ndata: {\"line\":\"a\\nb\\r\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn who_does_not_read_is_cut_and_who_has_gone_is_noticed() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut events = EventWriter { out: &mut here, stall_max: Duration::from_millis(20) };
        let text = "x".repeat(64 * 1_024);
        let cut = (0..64).find_map(|_| events.send("live", &text).err());
        assert_eq!(cut, Some(ListenerLost::Stalled));
        drop(there);
        assert_eq!(events.send("live", &text), Err(ListenerLost::Gone));
    }

    #[test]
    fn events_are_asked_for_by_name() {
        for (accept, want) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; q=0.9, */*", true),
            ("application/json, text/event-stream", true),
            ("*/*", false),
            ("text/*", false),
            ("text/event-stream;q=0", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(are_accepted(Some(accept.as_bytes())), want, "{accept}");
        }
        assert!(!are_accepted(None));
    }
}
