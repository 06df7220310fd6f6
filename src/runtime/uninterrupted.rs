//! Calls that a signal may interrupt before anything has happened.

use std::io;

/// Calls until the end is not a signal's doing. For calls that may be repeated from their start:
/// the standard library repeats reads of whole buffers, writes and opens by itself, but no look-up
/// of a name and no connect to a path.
///
/// # Errors
/// Those of the call, but for `Interrupted`.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_passed_over_and_other_ends_are_not() {
        let mut left = 3;
        let number = uninterrupted(|| {
            left -= 1;
            if left > 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(7) }
        });
        assert_eq!(number.unwrap(), 7);
        let failed = uninterrupted(|| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
