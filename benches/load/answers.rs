//! Answers out of the bytes of a connection, however they are split: status line, the fields that
//! frame an answer, and as much body as Content-Length says. One request is under way at a time, so
//! bytes behind an answer are an error. Chunked bodies are not known here.

use std::ops::Range;

use memchr::memmem;

/// An answer that is longer, in bytes, is an error.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
    /// The server closes the connection behind it.
    pub is_last: bool,
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What has come of an answer so far.
#[derive(Debug, Default)]
pub struct AnswerReader {
    partial: Vec<u8>,
    /// `partial` was a whole answer, which the caller has had.
    is_done: bool,
}

impl AnswerReader {
    /// Takes bytes in; the answer, where these were its last. Allocates only where it came in
    /// parts.
    ///
    /// # Errors
    /// [`Malformed`]: the connection is of no use any more.
    pub fn take<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Answer<'a>>, Malformed> {
        if std::mem::take(&mut self.is_done) {
            self.partial.clear();
        }
        if self.partial.is_empty() {
            let Some(found) = find(bytes)? else {
                self.partial.extend_from_slice(bytes);
                return Ok(None);
            };
            return Ok(Some(found.of(bytes)));
        }
        self.partial.extend_from_slice(bytes);
        let found = find(&self.partial)?;
        self.is_done = found.is_some();
        Ok(found.map(|found| found.of(&self.partial)))
    }
}

/// Where a whole answer lies.
struct Found {
    status: u16,
    body: Range<usize>,
    is_last: bool,
}

impl Found {
    fn of(self, bytes: &[u8]) -> Answer<'_> {
        Answer { status: self.status, body: &bytes[self.body], is_last: self.is_last }
    }
}

fn find(bytes: &[u8]) -> Result<Option<Found>, Malformed> {
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(head_bytes) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_bytes]).map_err(|_| Malformed)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status_of).ok_or(Malformed)?;
    let (mut length, mut is_last) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Malformed)?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().map_err(|_| Malformed)?);
        } else if name.eq_ignore_ascii_case("connection") {
            is_last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let is_without_body = status == 204 || status == 304;
    let length = if is_without_body { 0 } else { length.ok_or(Malformed)? };
    let body = head_bytes + 4..(head_bytes + 4).saturating_add(length);
    match bytes.len().cmp(&body.end) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(Found { status, body, is_last })),
        std::cmp::Ordering::Greater => Err(Malformed),
    }
}

fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or(line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &[u8] = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: application/json\r\n\
        content-length:  14\r\n\r\n{\"decision\":1}";
    const NOTHING: &[u8] = b"HTTP/1.1 204 No Content\r\nNudge-Reason: gap\r\n\r\n";
    const REFUSED: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n";

    /// Status, body and whether it is the last, of each answer of bytes that come in parts.
    fn read(parts: &[&[u8]]) -> Result<Vec<(u16, Vec<u8>, bool)>, Malformed> {
        let (mut reader, mut found) = (AnswerReader::default(), Vec::new());
        for part in parts {
            if let Some(answer) = reader.take(part)? {
                found.push((answer.status, answer.body.to_vec(), answer.is_last));
            }
        }
        Ok(found)
    }

    #[test]
    fn answers_are_found_wherever_their_bytes_are_split() {
        let wanted =
            [(200, b"{\"decision\":1}".to_vec(), false), (204, vec![], false), (503, vec![], true)];
        for (bytes, wanted) in [SHOWN, NOTHING, REFUSED].into_iter().zip(wanted) {
            let wanted = vec![wanted];
            assert_eq!(read(&[bytes]).unwrap(), wanted);
            for first in 1..bytes.len() - 1 {
                assert_eq!(read(&[&bytes[..first], &bytes[first..]]).unwrap(), wanted);
                let (second, third) = bytes[first..].split_at(1);
                assert_eq!(read(&[&bytes[..first], second, third]).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn one_in_parts_leaves_nothing_to_the_next() {
        let (begin, end) = SHOWN.split_at(SHOWN.len() - 3);
        let found = read(&[begin, end, NOTHING, begin, end, SHOWN]).unwrap();
        let statuses: Vec<u16> = found.iter().map(|(status, _, _)| *status).collect();
        assert_eq!(statuses, [200, 204, 200, 200]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let both = [SHOWN, NOTHING].concat();
        let wrong: [&[u8]; 6] = [
            &both,
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for bytes in wrong {
            assert_eq!(read(&[bytes]), Err(Malformed), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(&[&vec![b'x'; ANSWER_BYTES_MAX], b"x"]), Err(Malformed));
    }
}
