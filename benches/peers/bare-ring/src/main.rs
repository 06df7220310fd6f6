//! Peer: a bare ring. The least that this kernel allows a server which parses what it is asked: one
//! io_uring with multishot accept and receive, provided buffers and direct descriptors, `httparse`,
//! and one prepared answer that is sent from where it lies.
//!
//! Does: keep-alive, pipelining, heads that come in pieces.
//! Does not: route, read bodies, time out, bound anything, close on request, hold a date, decide.
//!
//!     bare-ring [ADDR:PORT]

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Connections, and direct descriptors.
const CONNECTIONS: u32 = 8_192;
/// Provided buffers; a power of two.
const BUFFERS: u16 = 1_024;
const BUFFER_BYTES: usize = 4_096;
/// Answers that one send carries at most.
const ANSWERS_PER_SEND: usize = 16;
const HEADERS_MAX: usize = 32;

const ACCEPT: u64 = 1 << 32;
const RECEIVE: u64 = 2 << 32;
const SEND: u64 = 3 << 32;
const CLOSE: u64 = 4 << 32;
const KIND: u64 = !0xffff_ffff;

const BODY: &str = "{\"decision\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\
\"popup\":{\"id\":\"welcome\",\"version\":1,\"variant\":null,\"content\":{\"title\":\"Welcome, stranger\"}\
},\"expires_in\":30}\n ";

/// The buffers that the kernel receives into.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> io::Result<Buffers> {
        let entries = map(usize::from(BUFFERS) * size_of::<BufRingEntry>())?;
        let memory = map(usize::from(BUFFERS) * BUFFER_BYTES)?;
        let mut buffers = Buffers { ring: entries.cast(), memory, tail: 0 };
        // SAFETY: the mapping is as long as the entries and lives as long as the process.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)?;
        }
        (0..BUFFERS).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    fn address(&self, id: u16) -> *mut u8 {
        // SAFETY: ids are below BUFFERS.
        unsafe { self.memory.add(usize::from(id) * BUFFER_BYTES) }
    }

    fn give(&mut self, id: u16) {
        let address = self.address(id) as u64;
        // SAFETY: the index is within the ring, and the kernel reads no entry before `publish`.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail % BUFFERS)) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies in the ring's first entry and is read by the kernel alone.
        unsafe {
            let tail = BufRingEntry::tail(self.ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    fn bytes(&self, id: u16, length: usize) -> &[u8] {
        // SAFETY: the kernel has filled `length` bytes and does not own the buffer until `give`.
        unsafe { std::slice::from_raw_parts(self.address(id), length) }
    }
}

fn map(length: usize) -> io::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address.cast()) }
}

#[derive(Default)]
struct Connection {
    /// The begin of a head whose end has not come.
    partial: Vec<u8>,
    /// Answers that are due and not under way.
    due: usize,
    is_sending: bool,
}

impl Connection {
    /// Counts the whole heads. False where the bytes are no HTTP.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        if self.partial.is_empty() {
            let Some(rest) = self.parse(bytes) else { return false };
            self.partial.extend_from_slice(rest);
            return true;
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let Some(rest) = self.parse(&whole) else { return false };
        self.partial.extend_from_slice(rest);
        true
    }

    fn parse<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        while !bytes.is_empty() {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(bytes) {
                Ok(httparse::Status::Complete(length)) => bytes = &bytes[length..],
                Ok(httparse::Status::Partial) => break,
                Err(_) => return None,
            }
            self.due += 1;
        }
        Some(bytes)
    }
}

struct Server {
    ring: IoUring,
    listener: TcpListener,
    buffers: Buffers,
    connections: Vec<Connection>,
    /// `ANSWERS_PER_SEND` answers, one behind the other.
    answers: Vec<u8>,
    answer_bytes: usize,
}

impl Server {
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what entries point at, the answers and the buffers, lives as long as the ring.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit().expect("the ring takes what is queued");
        }
    }

    fn accept(&mut self) {
        let listener = Fd(self.listener.as_raw_fd());
        let entry = opcode::AcceptMulti::new(listener).allocate_file_index(true).build();
        self.push(&entry.user_data(ACCEPT));
    }

    fn arm(&mut self, index: u32) {
        let entry = opcode::RecvMulti::new(Fixed(index), 0).build();
        self.push(&entry.user_data(RECEIVE | u64::from(index)));
    }

    fn close(&mut self, index: u32) {
        let entry = opcode::Close::new(Fixed(index)).build();
        self.push(&entry.user_data(CLOSE | u64::from(index)));
    }

    fn send(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.is_sending || connection.due == 0 {
            return;
        }
        let count = connection.due.min(ANSWERS_PER_SEND);
        connection.due -= count;
        connection.is_sending = true;
        let length = (count * self.answer_bytes) as u32;
        let entry = opcode::Send::new(Fixed(index), self.answers.as_ptr(), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(SEND | u64::from(index)));
    }

    fn received(&mut self, index: u32, result: i32, flags: u32) {
        let Ok(length @ 1..) = usize::try_from(result) else {
            match result == -libc::ENOBUFS {
                true => self.arm(index),
                false => self.close(index),
            }
            return;
        };
        let buffer = cqueue::buffer_select(flags).expect("what was received lies in a buffer");
        let bytes = self.buffers.bytes(buffer, length);
        let is_http = self.connections[index as usize].receive(bytes);
        self.buffers.give(buffer);
        if !is_http {
            return self.close(index);
        }
        self.send(index);
        if !cqueue::more(flags) {
            self.arm(index);
        }
    }

    fn complete(&mut self, data: u64, result: i32, flags: u32) {
        let index = data as u32;
        match data & KIND {
            ACCEPT => {
                if let Ok(index) = u32::try_from(result) {
                    self.connections[index as usize] = Connection::default();
                    self.arm(index);
                }
                if !cqueue::more(flags) {
                    self.accept();
                }
            }
            RECEIVE => self.received(index, result, flags),
            SEND => {
                self.connections[index as usize].is_sending = false;
                if result > 0 {
                    self.send(index);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self) -> io::Result<()> {
        self.accept();
        let mut completed = Vec::with_capacity(4_096);
        loop {
            match self.ring.submit_and_wait(1) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                result => result?,
            };
            let completions = self.ring.completion();
            completed.extend(completions.map(|c| (c.user_data(), c.result(), c.flags())));
            for (data, result, flags) in completed.drain(..) {
                self.complete(data, result, flags);
            }
            self.buffers.publish();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(4_096)
        .build(1_024)?;
    ring.submitter().register_files_sparse(CONNECTIONS)?;
    let buffers = Buffers::new(&ring)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    println!("listening data {}\nready", listener.local_addr()?);
    let connections = (0..CONNECTIONS).map(|_| Connection::default()).collect();
    let answers = answer.repeat(ANSWERS_PER_SEND).into_bytes();
    Server { ring, listener, buffers, connections, answers, answer_bytes: answer.len() }.run()?;
    Ok(())
}
