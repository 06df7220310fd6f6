//! The begin of the answer that most requests get: that there is nothing to show, and why. Its
//! bytes are prepared, and what differs is put in its place: what [`ResponseContext::start`] and
//! [`reply::field`] would write.

use super::reply::ResponseContext;
use nudged_domain::decide::choose::Reason;
use nudged_domain::decide::gates::Gate;
use nudged_http::reply::DATE_BYTES;

/// The status line and the fields of every reply, with another date.
const BEGIN: &[u8; 87] = b"HTTP/1.1 204 No Content\r\n\
    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Cache-Control: no-store\r\n";
/// Where the date stands in it.
const DATE_AT: usize = 31;
/// Room for a line with any reason.
const LINE_BYTES: usize = 32;
const NEXT: &[u8; 14] = b"\r\nNudge-Next: ";
/// Room for both lines: five digits and two ends of lines beside.
const LINES_BYTES: usize = LINE_BYTES + NEXT.len() + 5 + 2;

/// Appends the status line and the fields of every reply.
#[inline]
pub(super) fn write_begin(response: &ResponseContext<'_>, out: &mut Vec<u8>) {
    let frame = &response.frame;
    if frame.close || frame.http_1_0 {
        return response.start(out, 204);
    }
    let mut begin = *BEGIN;
    begin[DATE_AT..DATE_AT + DATE_BYTES].copy_from_slice(frame.date.as_bytes());
    out.extend_from_slice(&begin);
    response.cors.write_grant(response.grant, out);
}

/// Appends `Nudge-Reason` and, where there is one, `Nudge-Next`: in how many seconds, at most five
/// digits of them.
#[inline]
pub(super) fn write_reason(reason: Reason, next_in_s: Option<u32>, out: &mut Vec<u8>) {
    let (line, length) = &REASONS[place_of(reason)];
    let mut used = *length;
    let mut lines = [0; LINES_BYTES];
    lines[..LINE_BYTES].copy_from_slice(line);
    let mut put = |bytes: &[u8]| {
        lines[used..used + bytes.len()].copy_from_slice(bytes);
        used += bytes.len();
    };
    if let Some(next_in_s) = next_in_s {
        put(NEXT);
        put(itoa::Buffer::new().format(next_in_s).as_bytes());
    }
    put(b"\r\n");
    out.extend_from_slice(&lines[..used]);
}

/// The line of each reason, without its end, and its length.
static REASONS: [([u8; LINE_BYTES], usize); Gate::ALL.len() + 2] = {
    let mut lines = [line_of(Reason::None); Gate::ALL.len() + 2];
    let mut gate = 0;
    while gate < Gate::ALL.len() {
        let reason = Reason::Gate(Gate::ALL[gate]);
        lines[place_of(reason)] = line_of(reason);
        gate += 1;
    }
    lines[place_of(Reason::Degraded)] = line_of(Reason::Degraded);
    lines
};

const fn place_of(reason: Reason) -> usize {
    match reason {
        Reason::Gate(gate) => gate as usize,
        Reason::None => Gate::ALL.len(),
        Reason::Degraded => Gate::ALL.len() + 1,
    }
}

const fn line_of(reason: Reason) -> ([u8; LINE_BYTES], usize) {
    let parts: [&[u8]; 2] = [b"Nudge-Reason: ", reason.as_str().as_bytes()];
    let (mut line, mut used, mut part) = ([0; LINE_BYTES], 0, 0);
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            line[used] = parts[part][at];
            (used, at) = (used + 1, at + 1);
        }
        part += 1;
    }
    (line, used)
}

#[cfg(test)]
mod tests {
    use nudged_base::limits::NEXT_IN_S_MAX;
    use nudged_base::time::{DurationMs, WallMs};
    use nudged_http::reply::{self, ImfDate, ResponseFlags};

    use super::*;
    use crate::cors::{Cors, Grant};

    #[test]
    fn what_is_prepared_is_what_would_be_written() {
        let cors = Cors::new(vec!["https://a.example".to_owned()], DurationMs(0));
        let date = &ImfDate::of(WallMs(1_800_000_000_000));
        for (close, http_1_0) in [(false, false), (true, false), (false, true)] {
            for grant in [Grant::Silent, Grant::Vary, Grant::Any, Grant::Listed(0)] {
                let frame = ResponseFlags { date, close, head_only: false, http_1_0 };
                let response = ResponseContext { frame, cors: &cors, grant };
                let (mut begin, mut want) = (Vec::new(), Vec::new());
                write_begin(&response, &mut begin);
                response.start(&mut want, 204);
                assert_eq!(String::from_utf8(begin), String::from_utf8(want), "{response:?}");
            }
        }
    }

    #[test]
    fn each_reason_has_its_line() {
        let gates = Gate::ALL.into_iter().map(Reason::Gate);
        for reason in gates.chain([Reason::None, Reason::Degraded]) {
            for next_in_s in [None, Some(1), Some(NEXT_IN_S_MAX)] {
                let (mut lines, mut want) = (Vec::new(), Vec::new());
                write_reason(reason, next_in_s, &mut lines);
                reply::field(&mut want, "Nudge-Reason", reason.as_str().as_bytes());
                if let Some(next_in_s) = next_in_s {
                    reply::field(&mut want, "Nudge-Next", next_in_s.to_string().as_bytes());
                }
                assert_eq!(String::from_utf8(lines), String::from_utf8(want), "{reason:?}");
            }
        }
    }
}
