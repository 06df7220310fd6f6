//! Words and descriptors between two processes, over a pair of connected sockets: each message is
//! one line of text with up to [`DESCRIPTORS_MAX`] descriptors. Knows no meaning of either.
//!
//! Who reads is told of the other's end, whatever ended it.

#![allow(unsafe_code)] // A number that was inherited becomes a descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Descriptors of one message.
pub const DESCRIPTORS_MAX: usize = 16;
/// Bytes of one message's text; more are cut by who sends.
const TEXT_BYTES_MAX: usize = 1_024;
/// A reader that takes nothing for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// One end of the pair.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// What came.
#[derive(Debug)]
pub enum ReceivedMessage {
    /// A message, with its descriptors, which no child inherits.
    Message(String, Vec<OwnedFd>),
    /// Nothing within the time.
    Nothing,
    /// The other end is gone: no message follows.
    Ended,
}

impl MessageSocket {
    /// Both ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn pair() -> io::Result<(MessageSocket, MessageSocket)> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        for end in [&one, &other] {
            set_socket_timeout(end, Timeout::Send, Some(SEND_TIMEOUT))?;
        }
        Ok((MessageSocket(one), MessageSocket(other)))
    }

    /// The end with this number, which a child keeps once it is let to.
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Lets children have this end.
    ///
    /// # Errors
    /// What the system says.
    pub fn let_inherit(&self) -> io::Result<()> {
        Ok(fcntl_setfd(&self.0, FdFlags::empty())?)
    }

    /// The end that this process was started with. To be called once for a number.
    ///
    /// # Errors
    /// Where the number is no such socket.
    pub fn inherited(number: RawFd) -> io::Result<MessageSocket> {
        // SAFETY: only looked at; the call below refuses a number that is not open.
        let looked = unsafe { BorrowedFd::borrow_raw(number.max(0)) };
        fcntl_getfd(looked)?;
        if socket_type(looked)? != SocketType::SEQPACKET {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fcntl_setfd(looked, FdFlags::CLOEXEC)?;
        // SAFETY: it is open, and nobody else of this process knows the number, which came from
        // the process before.
        Ok(MessageSocket(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where the other end is gone, or takes nothing.
    ///
    /// # Panics
    /// With more than [`DESCRIPTORS_MAX`] descriptors.
    pub fn send(&self, text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(descriptors.len() <= DESCRIPTORS_MAX, "whoever sends splits them up");
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let has_room = control.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(has_room, "the space is for so many");
        }
        let bytes = [IoSlice::new(&text.as_bytes()[..end])];
        loop {
            match sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return sent.map(drop).map_err(io::Error::from),
            }
        }
    }

    /// Waits for a message at most so long.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive(&self, within: Duration) -> io::Result<ReceivedMessage> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout =
                Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3_600, tv_nsec: 0 });
            let mut awaited = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut awaited, Some(&timeout)) {
                Ok(0) => return Ok(ReceivedMessage::Nothing),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = [0; TEXT_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received,
            Err(Errno::CONNRESET) => return Ok(ReceivedMessage::Ended),
            Err(error) => return Err(error.into()),
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        // Nobody sends an empty text.
        if received.bytes == 0 && descriptors.is_empty() {
            return Ok(ReceivedMessage::Ended);
        }
        let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
        Ok(ReceivedMessage::Message(text, descriptors))
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn words_and_descriptors_arrive_in_order_and_the_end_is_told() {
        let (one, other) = MessageSocket::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        one.send("data", &[listener.as_fd(), listener.as_fd()]).unwrap();
        one.send(&"é".repeat(TEXT_BYTES_MAX), &[]).unwrap();
        drop((one, listener));
        let ReceivedMessage::Message(text, mut descriptors) = other.receive(SEND_TIMEOUT).unwrap()
        else {
            panic!("a message was sent");
        };
        assert_eq!((text.as_str(), descriptors.len()), ("data", 2));
        let listener = TcpListener::from(descriptors.remove(0));
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        let long = other.receive(SEND_TIMEOUT).unwrap();
        assert!(matches!(long, ReceivedMessage::Message(text, _) if text.len() == TEXT_BYTES_MAX));
        assert!(matches!(other.receive(SEND_TIMEOUT).unwrap(), ReceivedMessage::Ended));
    }

    #[test]
    fn nothing_comes_and_a_number_that_is_no_end_is_refused() {
        let (one, _other) = MessageSocket::pair().unwrap();
        assert!(matches!(one.receive(Duration::from_millis(1)).unwrap(), ReceivedMessage::Nothing));
        let plain = std::fs::File::open("/dev/null").unwrap();
        assert!(MessageSocket::inherited(plain.as_raw_fd()).is_err());
        assert!(MessageSocket::inherited(-1).is_err());
        assert!(MessageSocket::inherited(1_000_000).is_err());
    }
}
