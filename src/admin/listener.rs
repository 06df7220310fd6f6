//! Who gets in: one thread that accepts, and a thread for each connection. The accepting thread
//! also keeps the node's time for the admin side, since a slew is only right where it is looked at
//! often, and gives memory back.
//!
//! Limit: [`ADMIN_CONNECTIONS_MAX`](nudged_base::limits::ADMIN_CONNECTIONS_MAX); one more takes the
//! place of one that waits, or is answered 503 and closed where all are being answered.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::answer::AdminAnswer;
use super::certificate::CertificateWatch;
use super::connection;
use super::routes::Router;
use super::seats::Seats;
use super::socket::AdminListener;
use super::stream::AdminStream;
use super::unread::Unread;
use nudged_base::limits::{ADMIN_CLOCK_PERIOD_MS, ADMIN_STOP_MS, WRITE_STALL_TIMEOUT_MS};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_http::reply::{ImfDate, ResponseFlags};
use nudged_runtime::clocks;
use nudged_runtime::memory::Trimmer;
use nudged_runtime::stream::BlockingStream;
use nudged_runtime::threads::vital::Needed;

/// After a failed accept the listener rests this long: descriptors are not there again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The accepting thread.
#[derive(Debug)]
pub(super) struct Running {
    thread: JoinHandle<()>,
    stop: Arc<OwnedFd>,
    leaves_path: Arc<AtomicBool>,
    seats: Arc<Seats>,
    pub(super) router: Arc<Router>,
}

impl Running {
    /// Starts accepting.
    pub(super) fn start(listener: AdminListener, router: Router) -> io::Result<Running> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let seats: Arc<Seats> = Arc::default();
        let leaves_path: Arc<AtomicBool> = Arc::default();
        let trimmer = Trimmer::new(router.service.counters.clone());
        let router = Arc::new(router);
        let mut acceptor = Acceptor {
            listener,
            trimmer,
            certificate: CertificateWatch::default(),
            router: Arc::clone(&router),
            unread: Arc::default(),
            stop: Arc::clone(&stop),
            leaves_path: Arc::clone(&leaves_path),
            seats: Arc::clone(&seats),
            next: 0,
        };
        let thread = Builder::new().name("admin".to_owned()).spawn(move || {
            let needed = Needed::here("admin");
            acceptor.run();
            // Its loop ends where the eventfd says so.
            needed.leave(true);
        })?;
        Ok(Running { thread, stop, leaves_path, seats, router })
    }

    /// As [`stop`](Running::stop), for a process that has the socket too: its path stays.
    pub(super) fn leave(self) {
        self.leaves_path.store(true, Ordering::Release);
        self.stop();
    }

    /// Accepts no more, lets answers finish, ends.
    pub(super) fn stop(self) {
        // Adding 1 to an eventfd fails only at 2^64 - 1.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        // A thread that panicked has aborted the process.
        let _ = self.thread.join();
        self.router.service.end_streams();
        self.seats.close(Duration::from_millis(ADMIN_STOP_MS));
    }
}

struct Acceptor {
    listener: AdminListener,
    trimmer: Trimmer,
    certificate: CertificateWatch,
    router: Arc<Router>,
    unread: Arc<Unread>,
    stop: Arc<OwnedFd>,
    leaves_path: Arc<AtomicBool>,
    seats: Arc<Seats>,
    next: u64,
}

impl Acceptor {
    fn run(&mut self) {
        let period = Duration::from_millis(ADMIN_CLOCK_PERIOD_MS);
        let timeout = Timespec::try_from(period).expect("a quarter of a second fits");
        loop {
            self.router.service.look();
            self.trimmer.look(clocks::mono());
            self.certificate.look(&self.router.service);
            let mut awaited = [
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
                PollFd::new(&*self.stop, PollFlags::IN),
            ];
            // An interrupted wait is as good as one that is over.
            let _ = poll(&mut awaited, Some(&timeout));
            let [connections, stop] = awaited.map(|one| !one.revents().is_empty());
            if stop {
                if self.leaves_path.load(Ordering::Acquire) {
                    self.listener.leave_path();
                }
                return;
            }
            if connections {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((stream, peer)) => self.admit(stream, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The client has gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => self.log_and_pause(&error),
        }
    }

    fn admit(&mut self, stream: BlockingStream, peer: String) {
        let Ok(handle) = stream.try_clone() else { return };
        self.next += 1;
        let Some(seat) = self.seats.take(handle, self.next, clocks::mono()) else {
            // To say so with TLS would take a handshake.
            return if self.listener.is_tls() { drop(stream) } else { refuse(stream) };
        };
        let is_tls = self.listener.is_tls();
        let (router, unread) = (Arc::clone(&self.router), Arc::clone(&self.unread));
        let spawned = Builder::new().name("admin-client".to_owned()).spawn(move || {
            let identity = router.service.mesh.identity.current().filter(|_| is_tls);
            // Without memory or randomness nobody is served.
            let Ok(stream) = AdminStream::new(stream, identity.as_deref()) else { return };
            connection::serve(stream, (&peer, &seat), &router, unread.share());
        });
        if let Err(error) = spawned {
            self.log_and_pause(&error);
        }
    }

    fn log_and_pause(&self, error: &io::Error) {
        let text = error.to_string();
        self.router.service.log(Message::AcceptFailed, &[("error", LogValue::Text(&text))]);
        std::thread::sleep(ACCEPT_PAUSE);
    }
}

/// One too many: told so without waiting for its request.
fn refuse(mut stream: BlockingStream) {
    let date = ImfDate::of(clocks::wall());
    let frame = ResponseFlags { date: &date, close: true, head_only: false, http_1_0: false };
    let mut out = Vec::new();
    AdminAnswer::unavailable("too_many_connections").write(&mut out, &frame);
    let _ = stream.set_write_timeout(Duration::from_millis(WRITE_STALL_TIMEOUT_MS));
    let _ = stream.write_all(&out);
}
