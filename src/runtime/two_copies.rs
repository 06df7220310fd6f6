//! A small file that can be written while the disk is full: made at its whole size once, with room
//! for two copies that are written in turn, so that one that is torn by a kill or a loss of power
//! leaves the one before it. Readable by its owner alone.
//!
//! ```text
//! copy 0 │ copy 1      a copy: magic 8 │ sequence 8 │ length 4 │ CRC32C 4 │ body │ zeros
//! ```
//!
//! Numbers are little-endian; the checksum is of sequence, length and body. Must not know what is
//! in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

const MAGIC: &[u8; 8] = b"nudged2c";
const HEADER: usize = 24;
/// Bytes that are written at once where a file is made.
const PIECE: usize = 64 * 1_024;

/// The open file.
#[derive(Debug)]
pub struct TwoCopies {
    file: File,
    copy_bytes: usize,
    sequence: u64,
}

impl TwoCopies {
    /// Opens the file, or makes it where it is missing or has another size; gives the newest body
    /// that is whole, if there is one. A copy has `copy_bytes`, its header of 24 included.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, copy_bytes: usize) -> io::Result<(TwoCopies, Option<Vec<u8>>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path)?;
        let newest = newest(&file, copy_bytes)?;
        let size = size_of(copy_bytes);
        if file.metadata()?.len() != size {
            fill(&file, size)?;
        }
        let (sequence, body) = match newest {
            Some((sequence, body)) => (sequence, Some(body)),
            None => (0, None),
        };
        Ok((TwoCopies { file, copy_bytes, sequence }, body))
    }

    /// Bytes that a body may have.
    pub fn body_bytes_max(&self) -> usize {
        self.copy_bytes - HEADER
    }

    /// Writes a body in the place of the older copy. It survives the end of the process; call
    /// [`TwoCopies::sync`] for what survives the machine's.
    ///
    /// # Errors
    /// What the system says, or where the body is too long: the newest copy is there as it was.
    pub fn write(&mut self, body: &[u8]) -> io::Result<()> {
        if body.len() > self.body_bytes_max() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let sequence = self.sequence + 1;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&checksum(sequence, length, body).to_le_bytes());
        bytes.extend_from_slice(body);
        self.file.write_all_at(&bytes, place(sequence, self.copy_bytes))?;
        self.sequence = sequence;
        Ok(())
    }

    /// Has the disk keep what was written.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads the newest body that is whole, and changes nothing; `None` where there is none.
///
/// # Errors
/// What the system says of a file that is there, `InvalidData` where it was written and no copy is
/// whole.
pub fn read(path: &Path, copy_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => match newest(&file, copy_bytes)? {
            Some((_, body)) => Ok(Some(body)),
            None if is_blank(&file, copy_bytes)? => Ok(None),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "both copies are damaged")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether no copy was ever written: a file is filled with zeros first.
fn is_blank(file: &File, copy_bytes: usize) -> io::Result<bool> {
    for copy in [0, 1] {
        let mut header = [0; HEADER];
        let count = file.read_at(&mut header, place(copy, copy_bytes))?;
        if header[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn size_of(copy_bytes: usize) -> u64 {
    u64::try_from(2 * copy_bytes).unwrap_or(u64::MAX)
}

/// Where the copy of a sequence begins.
fn place(sequence: u64, copy_bytes: usize) -> u64 {
    if sequence.is_multiple_of(2) { 0 } else { u64::try_from(copy_bytes).unwrap_or(u64::MAX) }
}

fn checksum(sequence: u64, length: u32, body: &[u8]) -> u32 {
    let head = crc32c::crc32c(&sequence.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(head, &length.to_le_bytes()), body)
}

/// Gives every block of the file its place on the disk: what is only reserved may still ask for
/// room when it is first written.
fn fill(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    // A file that could not be filled is the shorter, and is filled on when it is opened again.
    let mut at = file.metadata()?.len().min(size);
    while at < size {
        let piece = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        file.write_all_at(&zeros[..piece], at)?;
        at += u64::try_from(piece).map_err(io::Error::other)?;
    }
    file.set_len(size)?;
    file.sync_all()
}

fn newest(file: &File, copy_bytes: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut newest: Option<(u64, Vec<u8>)> = None;
    for copy in [0, 1] {
        let Some((sequence, body)) = read_copy(file, place(copy, copy_bytes), copy_bytes)? else {
            continue;
        };
        // A copy in the other's place is none of ours.
        let is_in_place = place(sequence, copy_bytes) == place(copy, copy_bytes);
        if is_in_place && newest.as_ref().is_none_or(|(known, _)| sequence > *known) {
            newest = Some((sequence, body));
        }
    }
    Ok(newest)
}

/// The copy at an offset, where it is whole.
fn read_copy(file: &File, at: u64, copy_bytes: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut header = [0; HEADER];
    match file.read_exact_at(&mut header, at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (magic, rest) = header.split_at(8);
    let (sequence, rest) = rest.split_at(8);
    let (length, check) = rest.split_at(4);
    let sequence = u64::from_le_bytes(sequence.try_into().expect("eight bytes"));
    let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
    let check = u32::from_le_bytes(check.try_into().expect("four bytes"));
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if magic != MAGIC || bytes > copy_bytes - HEADER {
        return Ok(None);
    }
    let mut body = vec![0; bytes];
    let begin = at + u64::try_from(HEADER).map_err(io::Error::other)?;
    match file.read_exact_at(&mut body, begin) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok((checksum(sequence, length, &body) == check).then_some((sequence, body)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const COPY: usize = 4_096;

    fn reopened(path: &Path) -> Option<Vec<u8>> {
        let read_only = read(path, COPY).unwrap();
        let (_, body) = TwoCopies::open(path, COPY).unwrap();
        assert_eq!(read_only, body);
        body
    }

    #[test]
    fn the_newest_body_is_read_back_and_the_size_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(read(&path, COPY).unwrap(), None);
        let (mut file, body) = TwoCopies::open(&path, COPY).unwrap();
        assert_eq!(body, None);
        for text in ["one", "", "three", &"x".repeat(COPY - HEADER)] {
            file.write(text.as_bytes()).unwrap();
            file.sync().unwrap();
            assert_eq!(reopened(&path).as_deref(), Some(text.as_bytes()));
            let meta = std::fs::metadata(&path).unwrap();
            assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (2 * 4_096, 0o600));
        }
        assert!(file.write(&[0; COPY - HEADER + 1]).is_err());
        assert_eq!(reopened(&path).unwrap().len(), COPY - HEADER);
    }

    #[test]
    fn a_torn_write_leaves_the_body_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let (mut file, _) = TwoCopies::open(&path, COPY).unwrap();
        for number in 0..3 {
            file.write(format!("body {number} of some length").as_bytes()).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        file.write(b"body 3, which is torn").unwrap();
        let after = std::fs::read(&path).unwrap();
        // Each byte of the write may be the last that reached the disk; or it alone did not.
        let written: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
        for torn in 0..written.len() {
            let mut bytes = before.clone();
            written[..torn].iter().for_each(|at| bytes[*at] = after[*at]);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(reopened(&path).as_deref(), Some(&b"body 2 of some length"[..]), "{torn}");
            let mut bytes = after.clone();
            bytes[written[torn]] = before[written[torn]];
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(reopened(&path).as_deref(), Some(&b"body 2 of some length"[..]), "{torn}");
        }
        std::fs::write(&path, &after).unwrap();
        assert_eq!(reopened(&path).as_deref(), Some(&b"body 3, which is torn"[..]));
    }

    #[test]
    fn what_is_no_such_file_has_no_body_and_becomes_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (bytes, is_blank) in [
            (vec![], true),
            (vec![0; 100], true),
            (vec![0xff; 100], false),
            (vec![0xff; 2 * COPY], false),
            (b"nudged2c".repeat(2_000), false),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            match read(&path, COPY) {
                Ok(body) => assert!(is_blank && body.is_none(), "{} bytes", bytes.len()),
                Err(error) => {
                    assert!(!is_blank && error.kind() == io::ErrorKind::InvalidData, "{error}");
                }
            }
            assert_eq!(TwoCopies::open(&path, COPY).unwrap().1, None);
            let (mut file, _) = TwoCopies::open(&path, COPY).unwrap();
            file.write(b"body").unwrap();
            assert_eq!(reopened(&path).as_deref(), Some(&b"body"[..]));
        }
    }
}
