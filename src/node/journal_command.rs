//! `nudged journal`: the records of a journal for people, what of it is torn or damaged, and a
//! summary. Reads the files themselves, takes no lock and changes nothing, so it works beside a
//! running node and on what a node refuses.
//!
//! Exit codes: 0 it was read, 2 wrong usage, 4 it is no journal or can't be read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::arguments::JournalArguments;
use super::failure::Failure;
use super::record_lines::{COLUMNS, kind_of, record_line, record_text};
use nudged_base::ids::Sequence;
use nudged_base::limits::{BATCH_BYTES_MAX, SEGMENT_BYTES};
use nudged_journal::record::{Record, frames};
use nudged_journal::recovery::inspect::{self, SegmentHead, SegmentPart};
use nudged_journal::segment::{HeaderError, OPENING_OFFSET, PREFIX_BYTES, SegmentId, SetId};

/// One file.
struct JournalFile {
    path: PathBuf,
    head: Result<SegmentHead, HeaderError>,
}

impl JournalFile {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The sequence of its first record; `None` where its opening does not say.
    fn follows(&self) -> Option<Sequence> {
        Some(self.head.ok()?.opening?.follows)
    }
}

/// What was found.
#[derive(Default)]
struct Summary {
    files: u64,
    unused: u64,
    batches: u64,
    records: u64,
    first: Option<Sequence>,
    last: Option<Sequence>,
    torn_bytes: u64,
    damage: Vec<String>,
}

/// What is printed while the files are read.
struct Printer<'a, W> {
    arguments: &'a JournalArguments,
    set: SetId,
    out: W,
    printed: u64,
    summary: Summary,
}

/// Prints what is asked for on standard output.
///
/// # Errors
/// Where the path holds no journal, or can't be read.
pub fn run(arguments: &JournalArguments) -> Result<(), Failure> {
    let files = files_of(&arguments.path)?;
    let set = files.iter().find_map(|file| Some(file.head.ok()?.header.set));
    let set = set.ok_or_else(|| not_a_journal(&arguments.path, &files))?;
    let out = BufWriter::new(io::stdout().lock());
    let mut printer = Printer { arguments, set, out, printed: 0, summary: Summary::default() };
    let printed = printer.print(&files).and_then(|()| printer.out.flush().map_err(written));
    match printed {
        // A reader that has gone, as with `| head`, is no error.
        Err(Failure::System { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

impl<W: Write> Printer<'_, W> {
    fn print(&mut self, files: &[JournalFile]) -> Result<(), Failure> {
        if !self.arguments.json && !self.arguments.summary {
            writeln!(self.out, "{COLUMNS}  BATCH").map_err(written)?;
        }
        let only = self.only(files);
        let mut behind = VecDeque::from_iter(&files[1..]);
        let mut next = None;
        for file in files {
            let end = behind.iter().find_map(|file| file.follows());
            behind.pop_front();
            let is_wanted = end.is_none_or(|end| end.0 > self.arguments.from);
            if is_wanted && only.is_none_or(|only| *only == file.path) {
                if self.is_at_limit() {
                    return Ok(());
                }
                next = self.file(file, end, next)?;
            } else {
                next = end;
            }
        }
        if !self.is_at_limit() { self.print_summary() } else { Ok(()) }
    }

    /// The one file that was asked for, where it was not all of them.
    fn only<'f>(&self, files: &'f [JournalFile]) -> Option<&'f PathBuf> {
        let only = files.iter().find(|file| file.path == self.arguments.path);
        only.map(|file| &file.path)
    }

    fn is_at_limit(&self) -> bool {
        self.arguments.limit.is_some_and(|limit| self.printed >= limit)
    }

    /// Prints a file; gives the sequence behind it. `next` is where the file before it ended.
    fn file(
        &mut self,
        file: &JournalFile,
        end: Option<Sequence>,
        next: Option<Sequence>,
    ) -> Result<Option<Sequence>, Failure> {
        self.summary.files += 1;
        let head = match file.head {
            Ok(head) if head.header.set == self.set => Some(head),
            Ok(_) => {
                self.say(&format!("{}: it belongs to another journal", file.name()))?;
                return Ok(end);
            }
            Err(HeaderError::Version(version)) => {
                self.say(&format!("{}: format version {version} is unknown", file.name()))?;
                return Ok(end);
            }
            Err(HeaderError::Damaged) => {
                self.say(&format!("{}: both headers are damaged", file.name()))?;
                None
            }
        };
        let Some(image) = read(&file.path, SEGMENT_BYTES)? else { return Ok(end) };
        let opening = head.and_then(|head| head.opening);
        let is_short = u64::try_from(image.len()).is_ok_and(|bytes| bytes < SEGMENT_BYTES);
        if opening.is_none() {
            if is_unused(&image) && !is_short {
                self.summary.unused += 1;
                return Ok(next);
            }
            self.say(&format!("{}: its opening is damaged", file.name()))?;
        }
        if let Some((next, follows)) = next.zip(file.follows()).filter(|(next, to)| next < to) {
            let last = follows.0 - 1;
            self.say(&format!("{}: records {} to {last} are missing", file.name(), next.0))?;
        }
        let mut parts = inspect::parts(self.set, opening.as_ref(), end, &image);
        for part in parts.by_ref() {
            self.part(&file.name(), part)?;
            if self.is_at_limit() {
                return Ok(None);
            }
        }
        // What is behind it proves that a closed one has all of its records.
        if is_short && end.is_none() {
            self.say(&format!(
                "{}: the file was cut: it has {} of {SEGMENT_BYTES} bytes, and nobody knows what was \
                 behind them",
                file.name(),
                image.len()
            ))?;
        }
        Ok(parts.next_sequence())
    }

    fn part(&mut self, name: &str, part: SegmentPart<'_>) -> Result<(), Failure> {
        match part {
            SegmentPart::Batch { offset, header, records } => {
                self.summary.batches += 1;
                let mut sequence = header.first;
                for frame in frames(records) {
                    match frame.and_then(|frame| frame.record()) {
                        Ok(record) => self.record(sequence, &record, (name, offset))?,
                        Err(error) => {
                            let number = sequence.0;
                            self.say(&format!("{name}: byte {offset}: record {number}: {error}"))?;
                        }
                    }
                    if self.is_at_limit() {
                        break;
                    }
                    sequence = Sequence(sequence.0 + 1);
                }
                Ok(())
            }
            SegmentPart::Damage { offset, bytes, first, last } => {
                let number = |sequence: Option<Sequence>| {
                    sequence.map_or("?".to_owned(), |sequence| sequence.0.to_string())
                };
                let (first, last) = (number(first), number(last));
                let what = match bytes {
                    0 => "nothing is there any more".to_owned(),
                    _ => format!("{bytes} bytes are damaged"),
                };
                self.say(&format!("{name}: byte {offset}: {what}: records {first} to {last}"))
            }
            SegmentPart::Torn { offset, bytes } => {
                self.summary.torn_bytes += bytes;
                self.note(&format!(
                    "{name}: byte {offset}: {bytes} bytes are torn: never durable, cut at the next \
                     start; beside a running node, a write under way"
                ))
            }
        }
    }

    fn record(
        &mut self,
        sequence: Sequence,
        record: &Record<'_>,
        (name, offset): (&str, u64),
    ) -> Result<(), Failure> {
        let arguments = self.arguments;
        let is_wanted = sequence.0 >= arguments.from
            && arguments.user.as_deref().is_none_or(|user| user == record.user());
        if !is_wanted {
            return Ok(());
        }
        self.summary.records += 1;
        self.summary.first.get_or_insert(sequence);
        self.summary.last = Some(sequence);
        if arguments.summary {
            return Ok(());
        }
        self.printed += 1;
        if !arguments.json {
            let text = record_text(sequence, record);
            return writeln!(self.out, "{text}  {name}@{offset}").map_err(written);
        }
        let mut line = record_line(self.set, sequence, record);
        line["kind"] = json!(kind_of(record));
        line["batch"] = json!({ "file": name, "offset": offset });
        writeln!(self.out, "{line}").map_err(written)
    }

    /// Says what is damaged, and keeps it for the summary.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.summary.damage.push(text.to_owned());
        self.note(text)
    }

    /// Among the records for people, beside them for programs.
    fn note(&mut self, text: &str) -> Result<(), Failure> {
        match (self.arguments.summary, self.arguments.json) {
            (true, _) => Ok(()),
            (false, false) => writeln!(self.out, "# {text}").map_err(written),
            (false, true) => {
                // Who does not read it misses nothing of the records.
                let _ = writeln!(io::stderr(), "nudged: {text}");
                Ok(())
            }
        }
    }

    fn print_summary(&mut self) -> Result<(), Failure> {
        let Summary { files, unused, batches, records, first, last, torn_bytes, damage } =
            &self.summary;
        let number = |sequence: &Option<Sequence>| sequence.map(|sequence| sequence.0);
        if self.arguments.summary && self.arguments.json {
            let value = json!({
                "set": format!("{:032x}", self.set.0),
                "files": files,
                "unused_files": unused,
                "batches": batches,
                "records": records,
                "first": number(first),
                "last": number(last),
                "torn_bytes": torn_bytes,
                "damage": damage,
            });
            return writeln!(self.out, "{value}").map_err(written);
        }
        let of = |sequence| number(sequence).map_or("-".to_owned(), |number| number.to_string());
        let text = format!(
            "# {records} records, {} to {}, of {batches} batches in {files} files ({unused} not in \
             use yet); {torn_bytes} bytes torn; {} damaged\n",
            of(first),
            of(last),
            match damage.len() {
                0 => "nothing".to_owned(),
                count => format!("{count} places"),
            },
        );
        if self.arguments.json {
            let _ = io::stderr().write_all(text.as_bytes());
            return Ok(());
        }
        if self.arguments.summary {
            for line in damage {
                writeln!(self.out, "# {line}").map_err(written)?;
            }
        }
        self.out.write_all(text.as_bytes()).map_err(written)
    }
}

/// The files of a journal in order: of a directory, or of the directory that a file of one is in,
/// since where its records end is said by the one behind it.
fn files_of(path: &Path) -> Result<Vec<JournalFile>, Failure> {
    let metadata = std::fs::metadata(path).map_err(Failure::directory(path))?;
    if metadata.is_dir() {
        let inner = path.join("journal");
        let directory = if inner.is_dir() { &inner } else { path };
        return segments(directory).map_err(Failure::directory(directory));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if SegmentId::from_file_name(name).is_some() {
        let directory = directory.unwrap_or(Path::new("."));
        let mut files = segments(directory).map_err(Failure::directory(path))?;
        // The path as it was given names the file.
        if let Some(own) = files.iter_mut().find(|file| file.name() == name) {
            own.path = path.to_owned();
        }
        return Ok(files);
    }
    let head = read_head(path).map_err(Failure::directory(path))?;
    Ok(Vec::from_iter(head.map(|head| JournalFile { path: path.to_owned(), head })))
}

fn segments(directory: &Path) -> io::Result<Vec<JournalFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(SegmentId::from_file_name));
    }
    found.sort_unstable();
    let mut files = Vec::new();
    for segment in found {
        let path = directory.join(segment.file_name());
        if let Some(head) = read_head(&path)? {
            files.push(JournalFile { path, head });
        }
    }
    Ok(files)
}

/// `None` for a file that was removed since it was listed: SQL has what it held.
fn read_head(path: &Path) -> io::Result<Option<Result<SegmentHead, HeaderError>>> {
    let bytes = u64::try_from(PREFIX_BYTES).expect("a few KiB");
    Ok(read_begin(path, bytes)?.map(|bytes| SegmentHead::decode(&bytes)))
}

/// Whether nothing stands where a segment's opening and its first batches would.
fn is_unused(image: &[u8]) -> bool {
    let begin = usize::try_from(OPENING_OFFSET).expect("8,192");
    let begun = image.get(begin..).unwrap_or_default();
    begun.iter().take(2 * BATCH_BYTES_MAX).all(|byte| *byte == 0)
}

fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
    read_begin(path, bytes_max).map_err(Failure::directory(path))
}

fn read_begin(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    // To open a pipe is to wait for whoever writes to it.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other("it is neither a regular file nor a directory"));
    }
    match File::open(path) {
        Ok(file) => file.take(bytes_max).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(bytes))
}

fn not_a_journal(path: &Path, files: &[JournalFile]) -> Failure {
    let version = files.iter().find_map(|file| match file.head {
        Err(HeaderError::Version(version)) => Some(version),
        _ => None,
    });
    Failure::directory(path)(match version {
        Some(version) => format!("format version {version}, which this version can't read"),
        None => "there is no journal".to_owned(),
    })
}

fn written(source: io::Error) -> Failure {
    Failure::System { action: "write to standard output", source }
}
