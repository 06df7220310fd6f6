//! The sockets: opened, each asked one thing at a time, and what comes back over them. Whoever was
//! free longest is asked next, so that all of them are used in turn.
//!
//! ```text
//! closed -> connecting -> free -> busy -> free ...      anything that breaks: closed
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::answers::{Answer, AnswerReader};
use crate::job::Kind;

/// Connections from one address: a socket that is bound to one gets half of a host's 28,232 ports.
const CONNECTIONS_AN_ADDRESS: usize = 14_000;
/// Events taken at once.
const EVENTS_MAX: usize = 256;
/// Bytes that are read at once.
const INPUT_BYTES: usize = 64 << 10;

/// A request whose answer is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What it asks for.
    pub kind: Kind,
    /// When it was due, in nanoseconds of the monotonic clock.
    pub due_ns: u64,
    /// When it was handed to the kernel.
    pub sent_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Closed,
    Connecting,
    Free { since_ns: u64 },
    Busy(Asked),
}

#[derive(Debug)]
struct Connection {
    socket: Option<OwnedFd>,
    stage: Stage,
    reader: AnswerReader,
}

/// What came over a connection.
#[derive(Debug)]
pub enum Taken<'a> {
    /// Nothing that matters.
    Nothing,
    /// It is open.
    Opened,
    /// The answer to what was asked.
    Answer(Asked, Answer<'a>),
    /// It is closed, and what was asked over it has no answer.
    Broken,
}

/// All connections.
pub struct Connections {
    address: SocketAddr,
    source: Option<Ipv4Addr>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    input: Box<[u8]>,
    all: Vec<Connection>,
    free: VecDeque<usize>,
    closed: VecDeque<usize>,
    busy: usize,
}

impl Connections {
    /// So many, all closed.
    ///
    /// # Errors
    /// Where the system has no epoll for us.
    pub fn new(address: SocketAddr, source: Option<Ipv4Addr>, count: u64) -> io::Result<Self> {
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let closed =
            || Connection { socket: None, stage: Stage::Closed, reader: AnswerReader::default() };
        Ok(Connections {
            address,
            source,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            input: vec![0; INPUT_BYTES].into(),
            all: (0..count).map(|_| closed()).collect(),
            free: VecDeque::with_capacity(count),
            closed: (0..count).collect(),
            busy: 0,
        })
    }

    /// Connections that are open and not asked anything.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Since when the one is free that is asked next; `None` where none is.
    pub fn free_since_ns(&self) -> Option<u64> {
        match self.all[*self.free.front()?].stage {
            Stage::Free { since_ns } => Some(since_ns),
            stage => unreachable!("{stage:?} is not free"),
        }
    }

    /// Requests whose answers are waited for.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// Connections that are to be opened.
    pub fn closed(&self) -> usize {
        self.closed.len()
    }

    /// Begins to open one; one that can't even begin stays closed.
    ///
    /// # Errors
    /// Where no socket can be had.
    pub fn open_one(&mut self) -> io::Result<()> {
        let Some(index) = self.closed.pop_front() else { return Ok(()) };
        let socket = self.connect(index)?;
        let connection = &mut self.all[index];
        connection.reader = AnswerReader::default();
        match socket {
            Some(socket) => {
                epoll::add(&self.epoll, &socket, data_of(index), epoll::EventFlags::OUT)?;
                (connection.socket, connection.stage) = (Some(socket), Stage::Connecting);
            }
            None => self.closed.push_back(index),
        }
        Ok(())
    }

    fn connect(&self, index: usize) -> io::Result<Option<OwnedFd>> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        // Its port is free again at once.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        if let Some(first) = self.source {
            let further =
                u32::try_from(index / CONNECTIONS_AN_ADDRESS).map_err(io::Error::other)?;
            let source = Ipv4Addr::from(u32::from(first) + further);
            net::bind(&socket, &SocketAddr::new(IpAddr::V4(source), 0))?;
        }
        match net::connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Some(socket)),
            Err(_) => Ok(None),
        }
    }

    /// Sends a request over the connection that was free longest; whether it left.
    ///
    /// # Panics
    /// Where none is free.
    pub fn send(&mut self, request: &[u8], asked: Asked) -> bool {
        let index = self.free.pop_front().expect("the caller has looked");
        let connection = &mut self.all[index];
        let socket = connection.socket.as_ref().expect("what is free is open");
        connection.stage = Stage::Busy(asked);
        self.busy += 1;
        // One request is under way at a time, and is smaller than a socket's buffer.
        let is_sent = net::send(socket, request, SendFlags::NOSIGNAL) == Ok(request.len());
        if !is_sent {
            self.close(index);
        }
        is_sent
    }

    /// Waits for events, no longer than this; how many there are.
    ///
    /// # Errors
    /// Where the epoll fails.
    pub fn wait(&mut self, limit_ns: u64) -> io::Result<usize> {
        let limit = Timespec::try_from(Duration::from_nanos(limit_ns)).map_err(io::Error::other)?;
        if self.look()? > 0 || limit_ns == 0 {
            return Ok(self.events.len());
        }
        // An epoll itself waits for whole milliseconds.
        let mut polled = [PollFd::new(&self.epoll, PollFlags::IN)];
        match poll(&mut polled, Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => Ok(0),
            Ok(_) => self.look(),
            Err(error) => Err(error.into()),
        }
    }

    fn look(&mut self) -> io::Result<usize> {
        self.events.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// What one of the events has brought.
    ///
    /// # Errors
    /// Where the epoll fails.
    pub fn take(&mut self, event: usize, now_ns: u64) -> io::Result<Taken<'_>> {
        let data = self.events[event].data.u64();
        let index = usize::try_from(data).expect("an index that we gave");
        match self.all[index].stage {
            Stage::Closed => Ok(Taken::Nothing),
            Stage::Connecting => self.take_connected(index, now_ns),
            Stage::Free { .. } => {
                // Whatever it says, nothing was asked.
                self.close(index);
                Ok(Taken::Broken)
            }
            Stage::Busy(asked) => Ok(self.take_answer(index, asked, now_ns)),
        }
    }

    fn take_connected(&mut self, index: usize, now_ns: u64) -> io::Result<Taken<'_>> {
        let connection = &mut self.all[index];
        let socket = connection.socket.as_ref().expect("what connects has a socket");
        if sockopt::socket_error(socket)?.is_err() {
            self.close(index);
            return Ok(Taken::Broken);
        }
        epoll::modify(&self.epoll, socket, data_of(index), epoll::EventFlags::IN)?;
        connection.stage = Stage::Free { since_ns: now_ns };
        self.free.push_back(index);
        Ok(Taken::Opened)
    }

    fn take_answer(&mut self, index: usize, asked: Asked, now_ns: u64) -> Taken<'_> {
        let Connections { all, free, closed, busy, input, .. } = self;
        let Connection { socket, stage, reader } = &mut all[index];
        let open = socket.as_ref().expect("what was asked is open");
        let received = match net::recv(open, &mut input[..], RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Taken::Nothing,
            Err(_) => 0,
        };
        let answer = if received == 0 { None } else { reader.take(&input[..received]).ok() };
        if let Some(None) = answer {
            return Taken::Nothing;
        }
        *busy -= 1;
        match answer.flatten() {
            Some(answer) if !answer.is_last => {
                *stage = Stage::Free { since_ns: now_ns };
                free.push_back(index);
                Taken::Answer(asked, answer)
            }
            other => {
                (*socket, *stage) = (None, Stage::Closed);
                closed.push_back(index);
                other.map_or(Taken::Broken, |answer| Taken::Answer(asked, answer))
            }
        }
    }

    /// Closes those that have waited for an answer since before this; what they were asked.
    pub fn close_late(&mut self, before_ns: u64) -> Vec<Asked> {
        let mut late = Vec::new();
        for index in 0..self.all.len() {
            if let Stage::Busy(asked) = self.all[index].stage
                && asked.sent_ns < before_ns
            {
                late.push(asked);
                self.close(index);
            }
        }
        late
    }

    fn close(&mut self, index: usize) {
        let connection = &mut self.all[index];
        match std::mem::replace(&mut connection.stage, Stage::Closed) {
            Stage::Busy(_) => self.busy -= 1,
            Stage::Free { .. } => self.free.retain(|free| *free != index),
            Stage::Closed | Stage::Connecting => {}
        }
        connection.socket = None;
        self.closed.push_back(index);
    }
}

fn data_of(index: usize) -> epoll::EventData {
    epoll::EventData::new_u64(u64::try_from(index).expect("fewer than ports"))
}
