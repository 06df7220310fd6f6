//! `nudged schema`: popups files as JSON Schema, for editors and for tools that write such files.

use std::io::{self, Write as _};

use super::failure::Failure;

/// Popups files as JSON Schema (2020-12); a test holds it to the readers' limits.
const POPUPS: &str = include_str!("../../vendor-config/popups.schema.json");

/// Prints it.
///
/// # Errors
/// Where standard output takes nothing.
pub fn run() -> Result<(), Failure> {
    match io::stdout().write_all(POPUPS.as_bytes()) {
        // A reader that has gone, as with `| head`, is no error.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::System { action: "write to standard output", source })
        }
        _ => Ok(()),
    }
}
