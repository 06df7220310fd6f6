//! The thread that writes the log: takes lines out of the queue and writes them, asleep while
//! there are none. The only place where a log line may wait for a slow terminal or pipe.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, park, park_timeout};
use std::time::Duration;

use crate::clocks;
use crate::threads::log_tail::LogTail;
use crate::threads::vital::Needed;
use nudged_base::limits::LOG_PERIOD_MS;
use nudged_base::telemetry::log::{Log, LogValue, Message};

/// A running writer of the log. Dropped, it writes what is queued and ends: a start that fails has
/// said why.
#[derive(Debug)]
pub struct LogThread {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    tail: Arc<LogTail>,
}

impl LogThread {
    /// Starts the thread; lines go to `output` as they come. A log may have one such thread.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(log: &Log, output: impl Write + Send + 'static) -> io::Result<LogThread> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (own_log, own_stopping) = (log.clone(), stopping.clone());
        let tail: Arc<LogTail> = Arc::default();
        let own_tail = Arc::clone(&tail);
        let run = move || {
            let needed = Needed::here("log");
            write_lines((&own_log, &own_tail), output, &own_stopping);
            needed.leave(own_stopping.load(Ordering::Acquire));
        };
        let thread = Builder::new().name("log".to_owned()).spawn(run)?;
        let waker = thread.thread().clone();
        // Costs a system call only where the thread sleeps.
        log.on_line(move || waker.unpark());
        // Lines from before the hook was there.
        thread.thread().unpark();
        Ok(LogThread { stopping, thread: Some(thread), tail })
    }

    /// The last lines that it has written.
    pub fn tail(&self) -> Arc<LogTail> {
        Arc::clone(&self.tail)
    }

    /// Writes what is queued and ends the thread.
    pub fn stop(self) {}
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        // A writer that panicked has nothing left to say.
        let _ = thread.join();
    }
}

/// Writes what is queued to standard error, on the calling thread: for the last words of a process
/// that ends without [`LogThread::stop`].
pub fn write_out(log: &Log) {
    while let Some(line) = log.next_line() {
        write_last(line.as_bytes());
    }
}

/// Writes to standard error without its lock, which a thread that is gone may hold for ever.
pub fn write_last(mut bytes: &[u8]) {
    let output = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(&output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            // Where the log can't be written there is nowhere to say so.
            Err(_) => return,
        }
    }
}

/// Logs a message with what went wrong, now.
pub fn tell(log: &Log, message: Message, error: &str) {
    log.write_error(clocks::now(), message, error);
}

/// Says that a setting has no effect on this host, and why.
pub fn tell_unsupported(log: &Log, setting: &str, error: &str) {
    let fields = [("setting", LogValue::Text(setting)), ("error", LogValue::Text(error))];
    log.write(clocks::now(), Message::SettingUnsupported, &fields);
}

fn write_lines((log, tail): (&Log, &LogTail), mut output: impl Write, stopping: &AtomicBool) {
    loop {
        // Read before the queue is: what was queued before the stop is then written.
        let last = stopping.load(Ordering::Acquire);
        log.sweep(clocks::now());
        if last {
            log.finish(clocks::now());
        }
        while let Some(line) = log.next_queued() {
            // Where the log can't be written there is nowhere to say so; the node goes on.
            let _ = output.write_all(line.text.as_bytes());
            tail.keep(line);
        }
        let _ = output.flush();
        if last {
            return;
        }
        if log.has_unsaid() {
            park_timeout(Duration::from_millis(LOG_PERIOD_MS));
        } else {
            park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::log::{Level, Message};
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_from_before_the_start_and_before_the_stop_are_written() {
        let log = Log::new(Level::Info, false, &[]);
        let output = Output::default();
        log.write(clocks::now(), Message::Started, &[]);
        let thread = LogThread::start(&log, output.clone()).unwrap();
        log.write(clocks::now(), Message::Ready, &[]);
        log.write(clocks::now(), Message::Stopped, &[]);
        let tail = thread.tail();
        thread.stop();
        let kept = tail.after(0, Level::Debug, usize::MAX);
        assert_eq!(kept.last().map(|line| line.message), Some(Message::Stopped));
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().last().unwrap().contains("nudged has stopped"));
    }
}
