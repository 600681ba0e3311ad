//! A way for descriptors into a table that is not shared: a pair of sockets that carries them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Both ends; each thread uses the one that concerns it. Neither waits.
#[derive(Debug)]
pub(crate) struct Passage {
    near: OwnedFd,
    far: OwnedFd,
}

/// What has come through: the sender's number, and the descriptor unless the table had no room.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) number: u64,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl Passage {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok(Self { near, far })
    }

    /// Sends a descriptor, which stays open on its way whatever becomes of `descriptor`.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] and the like when too many are on their way.
    pub(crate) fn send(
        &self,
        number: u64,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> rustix::io::Result<()> {
        let bytes = number.to_ne_bytes();
        let mut space = [MaybeUninit::uninit(); SPACE_BYTES];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights = descriptor.as_slice();
        if !rights.is_empty() && !control.push(SendAncillaryMessage::ScmRights(rights)) {
            return Err(Errno::NOBUFS);
        }
        let pieces = [IoSlice::new(&bytes)];
        net::sendmsg(&self.near, &pieces, &mut control, SendFlags::NOSIGNAL).map(drop)
    }

    /// What came first and was not received yet.
    pub(crate) fn receive(&self) -> Option<Passed> {
        let mut bytes = [0; size_of::<u64>()];
        let mut space = [MaybeUninit::uninit(); SPACE_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        loop {
            let mut pieces = [IoSliceMut::new(&mut bytes)];
            match net::recvmsg(&self.far, &mut pieces, &mut control, flags) {
                Ok(message) if message.bytes > 0 => break,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return None,
            }
        }
        let mut descriptor = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut received) = message {
                descriptor = received.next();
            }
        }
        Some(Passed { number: u64::from_ne_bytes(bytes), descriptor })
    }

    /// Readable when something has come.
    pub(crate) fn far(&self) -> BorrowedFd<'_> {
        self.far.as_fd()
    }
}

/// Room for the control message with one descriptor.
const SPACE_BYTES: usize = rustix::cmsg_space!(ScmRights(1));
