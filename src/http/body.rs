//! Chunked bodies: decoded as they arrive, each byte looked at once, so that a body costs its own
//! size in memory however small its chunks are.
//!
//! ```text
//! Size -> Extension* -> SizeEnd -> Data -> DataCr -> DataLf -> Size ...
//!      (size 0)                 -> Trailer* -> SectionEnd -> done
//! ```
//!
//! The decoder appends to a buffer that holds the head: first the body's bytes, then, while they
//! arrive, the trailers: each is checked where its line ends, and all are cut off. Limits: the
//! listener's largest body, `CHUNK_EXTENSION_BYTES_MAX`, `TRAILER_BYTES_MAX`.

use memchr::{memchr, memrchr};

use super::fields::check_trailers;
use super::refusal::HttpRefusal;
use super::scan::is_token_byte;
use nudged_base::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX};

/// What the next byte has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// A digit of the size; so many have been.
    Size(u8),
    /// The first byte of an extension's name.
    ExtensionNameFirst,
    /// More of the name, or what may follow it.
    ExtensionName,
    /// The first byte of an extension's value.
    ExtensionValueFirst,
    /// More of a value that is a token.
    ExtensionValue,
    /// Inside a quoted value.
    Quoted,
    /// After a backslash inside a quoted value.
    QuotedEscape,
    /// After a quoted value.
    QuotedEnd,
    /// The LF of a size line.
    SizeEnd,
    /// Data of the chunk.
    Data,
    /// The CR after the data.
    DataCr,
    /// The LF after the data.
    DataLf,
    /// The first byte of a line of the trailer section.
    TrailerFirst,
    /// More of such a line.
    Trailer,
    /// The LF of such a line.
    TrailerLf,
    /// The LF of the empty line.
    SectionEnd,
}

/// One chunked body on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkDecoder {
    state: ChunkState,
    /// Bytes of extensions so far, in all chunks together.
    extension_bytes: u16,
    /// Of the present chunk: its size while that is read, what is missing of it afterwards. From
    /// the last chunk on: where in the buffer the trailer section starts.
    number: u32,
}

impl ChunkDecoder {
    /// A decoder before the first byte of the body.
    pub(super) fn new() -> ChunkDecoder {
        ChunkDecoder { state: ChunkState::Size(0), extension_bytes: 0, number: 0 }
    }

    /// Takes bytes in; `buffer` holds a head, of the first number of bytes, and the body so far,
    /// which may have as many as the second, and grows by what is decoded. Gives how many bytes
    /// were taken and whether the body is complete; where it is not, all were taken. Allocates only
    /// where `buffer` has to grow.
    ///
    /// # Errors
    /// Malformed chunks and trailers, and bodies over a limit.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        buffer: &mut Vec<u8>,
        (head_bytes, body_bytes_max): (usize, usize),
    ) -> Result<(usize, bool), HttpRefusal> {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            match self.state {
                ChunkState::Data => {
                    taken += self.take_data(&bytes[taken..], buffer);
                    continue;
                }
                ChunkState::Trailer => {
                    taken += self.take_trailer(&bytes[taken..], buffer)?;
                    continue;
                }
                ChunkState::DataCr | ChunkState::DataLf => self.take_data_end(*byte)?,
                ChunkState::TrailerFirst | ChunkState::TrailerLf => {
                    self.take_line_edge(*byte, buffer)?
                }
                ChunkState::SectionEnd => {
                    self.end_section(*byte, buffer)?;
                    return Ok((taken + 1, true));
                }
                ChunkState::Size(digits) => self.take_size(*byte, digits)?,
                ChunkState::SizeEnd => {
                    let body_bytes = buffer.len() - head_bytes;
                    self.end_size(*byte, buffer, body_bytes_max.saturating_sub(body_bytes))?;
                }
                _ => self.take_extension(*byte)?,
            }
            taken += 1;
        }
        Ok((taken, false))
    }

    fn take_size(&mut self, byte: u8, digits: u8) -> Result<(), HttpRefusal> {
        if let Some(value) = char::from(byte).to_digit(16) {
            if usize::from(digits) == CHUNK_SIZE_DIGITS_MAX {
                return Err(HttpRefusal::MalformedChunk);
            }
            // A size that saturates is over the limit all the same.
            self.number = self.number.saturating_mul(16).saturating_add(value);
            self.state = ChunkState::Size(digits + 1);
            return Ok(());
        }
        self.state = match byte {
            _ if digits == 0 => return Err(HttpRefusal::MalformedChunk),
            b';' => ChunkState::ExtensionNameFirst,
            b'\r' => ChunkState::SizeEnd,
            _ => return Err(HttpRefusal::MalformedChunk),
        };
        if byte == b';' { self.count_extension_byte() } else { Ok(()) }
    }

    fn count_extension_byte(&mut self) -> Result<(), HttpRefusal> {
        self.extension_bytes += 1;
        if usize::from(self.extension_bytes) > CHUNK_EXTENSION_BYTES_MAX {
            return Err(HttpRefusal::MalformedChunk);
        }
        Ok(())
    }

    /// `;name`, `;name=token` or `;name="text"`, any number of them, without white space between.
    fn take_extension(&mut self, byte: u8) -> Result<(), HttpRefusal> {
        let token = is_token_byte(byte);
        self.state = match (self.state, byte) {
            (ChunkState::ExtensionNameFirst | ChunkState::ExtensionName, _) if token => {
                ChunkState::ExtensionName
            }
            (ChunkState::ExtensionValueFirst | ChunkState::ExtensionValue, _) if token => {
                ChunkState::ExtensionValue
            }
            (ChunkState::ExtensionName, b'=') => ChunkState::ExtensionValueFirst,
            (ChunkState::ExtensionValueFirst, b'"') => ChunkState::Quoted,
            (ChunkState::Quoted, b'"') => ChunkState::QuotedEnd,
            (ChunkState::Quoted, b'\\') => ChunkState::QuotedEscape,
            (ChunkState::Quoted | ChunkState::QuotedEscape, b'\t' | b' '..=b'~' | 0x80..) => {
                ChunkState::Quoted
            }
            (
                ChunkState::ExtensionName | ChunkState::ExtensionValue | ChunkState::QuotedEnd,
                b';',
            ) => ChunkState::ExtensionNameFirst,
            (
                ChunkState::ExtensionName | ChunkState::ExtensionValue | ChunkState::QuotedEnd,
                b'\r',
            ) => {
                self.state = ChunkState::SizeEnd;
                return Ok(());
            }
            _ => return Err(HttpRefusal::MalformedChunk),
        };
        self.count_extension_byte()
    }

    /// The end of a size line; the body may have `space` bytes more.
    fn end_size(&mut self, byte: u8, buffer: &[u8], space: usize) -> Result<(), HttpRefusal> {
        if byte != b'\n' {
            return Err(HttpRefusal::MalformedChunk);
        }
        let size = usize::try_from(self.number).unwrap_or(usize::MAX);
        if size > space {
            return Err(HttpRefusal::BodyTooLarge);
        }
        self.state = ChunkState::Data;
        if size == 0 {
            self.number = u32::try_from(buffer.len()).expect("a head and a body fit in 32 bits");
            self.state = ChunkState::TrailerFirst;
        }
        Ok(())
    }

    fn take_data(&mut self, bytes: &[u8], buffer: &mut Vec<u8>) -> usize {
        let missing = usize::try_from(self.number).expect("within the limit of a body");
        debug_assert!(missing > 0);
        let count = missing.min(bytes.len());
        buffer.extend_from_slice(&bytes[..count]);
        self.number -= u32::try_from(count).expect("at most what is missing");
        if self.number == 0 {
            self.state = ChunkState::DataCr;
        }
        count
    }

    fn take_data_end(&mut self, byte: u8) -> Result<(), HttpRefusal> {
        self.state = match (self.state, byte) {
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::Size(0),
            _ => return Err(HttpRefusal::MalformedChunk),
        };
        Ok(())
    }

    /// The first byte of a line of the trailer section, or the last one of a line.
    fn take_line_edge(&mut self, byte: u8, buffer: &mut Vec<u8>) -> Result<(), HttpRefusal> {
        self.state = match (self.state, byte) {
            (ChunkState::TrailerFirst, b'\r') => ChunkState::SectionEnd,
            (ChunkState::TrailerLf, b'\n') => ChunkState::TrailerFirst,
            (_, b'\n') | (ChunkState::TrailerLf, _) => return Err(HttpRefusal::MalformedTrailer),
            _ => ChunkState::Trailer,
        };
        self.append_trailer(&[byte], buffer)?;
        if byte == b'\n' { self.check_line(buffer) } else { Ok(()) }
    }

    /// Judges the line of the trailer section that has just ended.
    fn check_line(&self, buffer: &[u8]) -> Result<(), HttpRefusal> {
        let section = &buffer[self.section_start()..];
        let before = section.len() - "\r\n".len();
        let start = memrchr(b'\n', &section[..before]).map_or(0, |at| at + 1);
        check_trailers(&section[start..])
    }

    /// A part of a line up to its CR.
    fn take_trailer(&mut self, bytes: &[u8], buffer: &mut Vec<u8>) -> Result<usize, HttpRefusal> {
        let end = memchr(b'\r', bytes);
        let part = &bytes[..end.map_or(bytes.len(), |at| at + 1)];
        // The length first: what is refused must not depend on how the bytes were split.
        let space = TRAILER_BYTES_MAX - self.trailer_bytes(buffer);
        let within = &part[..part.len().min(space)];
        if memchr(b'\n', within).is_some() {
            return Err(HttpRefusal::MalformedTrailer);
        }
        self.append_trailer(part, buffer)?;
        if end.is_some() {
            self.state = ChunkState::TrailerLf;
        }
        Ok(part.len())
    }

    fn append_trailer(&self, part: &[u8], buffer: &mut Vec<u8>) -> Result<(), HttpRefusal> {
        if self.trailer_bytes(buffer) + part.len() > TRAILER_BYTES_MAX {
            return Err(HttpRefusal::TrailersTooLarge);
        }
        buffer.extend_from_slice(part);
        Ok(())
    }

    fn trailer_bytes(&self, buffer: &[u8]) -> usize {
        buffer.len() - self.section_start()
    }

    fn section_start(&self) -> usize {
        usize::try_from(self.number).expect("an offset in a buffer")
    }

    fn end_section(&mut self, byte: u8, buffer: &mut Vec<u8>) -> Result<(), HttpRefusal> {
        if byte != b'\n' {
            return Err(HttpRefusal::MalformedTrailer);
        }
        self.append_trailer(&[byte], buffer)?;
        buffer.truncate(self.section_start());
        Ok(())
    }
}
