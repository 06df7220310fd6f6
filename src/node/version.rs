//! What this binary is: its version, the commit that it was made of, and what is built in.

/// For `--version`: the version, then in parentheses the commit with its date, or `unknown`, and
/// what is built in.
pub(super) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BUILD_MADE_OF"),
    "; io_uring, SQLite, Redis, MySQL, TLS, PROXY protocol)"
);

/// The commit that the binary was made of, 12 digits; `unknown` where it was not told.
pub(super) const COMMIT: &str = env!("BUILD_COMMIT");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_tests_does_not_ask_for_its_commit() {
        // `tools/package` tells it to every build.
        if option_env!("BUILD_COMMIT_DATE").is_none() {
            assert_eq!(COMMIT, "unknown");
            assert!(VERSION.contains(" (unknown; io_uring"), "{VERSION}");
        }
    }
}
