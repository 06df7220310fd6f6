//! Stands for the counting of tests/alloc: what a shard does goes through [`collected`], by whose
//! name callgrind collects, and the driver's own work does not.

use std::hint::black_box;

/// Whether what shards do is collected now.
#[derive(Default)]
pub struct Counted {
    /// False while a node warms up.
    pub is_collecting: bool,
}

/// Runs `work`, collected where it is to be.
pub fn count<T>(counted: &mut Counted, work: impl FnOnce() -> T) -> T {
    if !counted.is_collecting {
        return work();
    }
    let (mut work, mut done) = (Some(work), None);
    collected(&mut || done = work.take().map(|work| work()));
    done.expect("it was run")
}

/// What callgrind's `--toggle-collect` names. Costs some twelve instructions a step.
#[inline(never)]
fn collected(work: &mut dyn FnMut()) {
    work();
    // Not the last thing done here: a jump to `work` instead of a call is not seen as one.
    black_box(work);
}

/// What callgrind's `--dump-after` names: what was collected since the last call is one scenario.
#[inline(never)]
pub fn end_of_scenario(name: &str) {
    black_box(name);
}
