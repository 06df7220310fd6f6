//! What the kernel knows of its wall clock's synchronisation. Reads, and sets nothing.

#![allow(unsafe_code)]

/// How well the wall clock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSync {
    /// Whether somebody synchronises it.
    pub is_synchronised: bool,
    /// How far it may be off, in microseconds, by whoever synchronises it.
    pub error_max_us: u64,
}

/// Asks the kernel; `None` where it does not say.
pub fn read() -> Option<ClockSync> {
    // SAFETY: a struct of numbers alone, for which zeros are values; with `modes` of 0 nothing is
    // set.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes this struct and nothing else.
    let status = unsafe { libc::adjtimex(&raw mut state) };
    (status >= 0).then(|| ClockSync {
        is_synchronised: status != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0,
        error_max_us: u64::try_from(state.maxerror).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_and_keeps_its_clock() {
        assert!(super::read().is_some());
    }
}
