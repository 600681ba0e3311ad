//! What is done to one socket, without waiting.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::slots::Slot;
use crate::outbound::fault_of;
use crate::{Buffer, IoFault, PARTS_MAX, Parts, Payload};

/// Receives into the spare part of `buffer` and notes what that says of the socket. `None` while
/// there is nothing.
pub(super) fn receive(slot: &mut Slot, buffer: &mut Buffer) -> Option<Result<usize, IoFault>> {
    let room_bytes = buffer.spare_len();
    let received = {
        let socket = slot.socket()?;
        again(|| net::recv(socket, &mut *buffer.spare_mut(), RecvFlags::DONTWAIT))
    };
    match received {
        Ok((_, bytes)) => {
            buffer.commit(bytes);
            slot.note_received(bytes, room_bytes);
            Some(Ok(bytes))
        }
        Err(Errno::AGAIN) => {
            slot.unset(Slot::READABLE);
            None
        }
        Err(errno) => Some(Err(fault_of(errno))),
    }
}

/// Sends what `payload` has left. `None` while there is no room.
pub(super) fn send<P: Payload>(slot: &Slot, payload: &mut P) -> Option<Result<usize, IoFault>> {
    let socket = slot.socket()?;
    let sent = {
        let mut parts = Parts::new();
        payload.parts(&mut parts);
        match parts.as_slices() {
            [] => Ok(0),
            [only] => again(|| net::send(socket, only, FLAGS)),
            several => again(|| send_all(socket, several)),
        }
    };
    match sent {
        Ok(bytes) => {
            payload.advance(bytes);
            Some(Ok(bytes))
        }
        Err(Errno::AGAIN) => None,
        Err(errno) => Some(Err(fault_of(errno))),
    }
}

/// Whether a receive would tell something. It changes nothing: a receive would take an error away.
pub(super) fn is_readable(slot: &Slot) -> bool {
    let Some(socket) = slot.socket() else {
        return false;
    };
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::IN | PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    again(|| poll(&mut asked, Some(&at_once))).is_ok_and(|count| count > 0)
}

fn send_all(socket: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<usize, Errno> {
    let mut slices = [IoSlice::new(&[]); PARTS_MAX];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    let slices = slices.get(..parts.len()).unwrap_or(&[]);
    net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), FLAGS)
}

/// Calls until no signal interrupts.
fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
