//! Descriptors that travel to another process beside a message: `SCM_RIGHTS` of unix(7).
//!
//! A message of a local socket may carry descriptors as ancillary data. The receiver gets new ones
//! of the same open files, as dup(2) would make them; the sender keeps its own. What the messages
//! say and which descriptors travel is not known here. Man pages: unix(7), cmsg(3), sendmsg(2),
//! recvmsg(2).

use std::io;
use std::mem::{self, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, cmsghdr, iovec, msghdr, socklen_t};

use crate::limits::PASSED_PER_MESSAGE;
use crate::sys::retry;

/// The ancillary data of a message: a header, and the numbers of the descriptors behind it.
#[repr(C)]
struct Control {
    header: cmsghdr,
    numbers: [RawFd; PASSED_PER_MESSAGE],
}

/// Where the numbers begin, which is also the length of a header without any.
const NUMBERS_AT: usize = offset_of!(Control, numbers);
// SAFETY: the call only computes a number.
const _: () = assert!(NUMBERS_AT == unsafe { libc::CMSG_LEN(0) } as usize);

impl Control {
    fn blank() -> Control {
        // SAFETY: the structure is plain numbers, for which zero is a value.
        unsafe { mem::zeroed() }
    }
}

/// A message of one part, with the first `size` bytes of ancillary data. The caller keeps both
/// until the call that uses the message.
fn message(part: &mut iovec, control: &mut Control, size: usize) -> msghdr {
    // SAFETY: the structure is numbers and pointers, for which zero is a value.
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    if size > 0 {
        message.msg_control = ptr::from_mut(control).cast();
        message.msg_controllen = size as _;
    }
    message
}

/// Sends `bytes`, which are not empty, with `passed`, at most [`PASSED_PER_MESSAGE`]. The socket
/// keeps the boundaries of messages, so all of it is sent or nothing.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    passed: impl ExactSizeIterator<Item = RawFd>,
) -> io::Result<()> {
    let count = passed.len();
    let mut control = Control::blank();
    if count > control.numbers.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let size = match count {
        0 => 0,
        _ => NUMBERS_AT + count * size_of::<RawFd>(),
    };
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.header.cmsg_len = size as _;
    for (place, number) in control.numbers.iter_mut().zip(passed) {
        *place = number;
    }
    let mut part = iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let message = message(&mut part, &mut control, size);
    // SAFETY: the message, its part and its ancillary data outlive the call, which only reads them.
    retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })?;
    Ok(())
}

/// Receives a message into `space`, and adds the descriptors that came with it to `passed`, all of
/// them close-on-exec. Returns its size; 0 is the end of the stream.
///
/// # Errors
///
/// `InvalidData` if the message or its descriptors did not fit: some of them are lost then.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    space: &mut [u8],
    passed: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = Control::blank();
    let mut part = iovec {
        iov_base: space.as_mut_ptr().cast(),
        iov_len: space.len(),
    };
    let mut message = message(&mut part, &mut control, size_of::<Control>());
    let flags = libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message, its part and its ancillary data are ours to write and outlive the call.
    let size = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags) })?;
    let (length, flags) = (message.msg_controllen as usize, message.msg_flags);
    let kind = (control.header.cmsg_level, control.header.cmsg_type);
    if length >= NUMBERS_AT && kind == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        // In musl the length has another type.
        #[allow(clippy::unnecessary_cast)]
        let length = control.header.cmsg_len as usize;
        let bytes = length.saturating_sub(NUMBERS_AT);
        for &number in control.numbers.iter().take(bytes / size_of::<RawFd>()) {
            // SAFETY: the kernel has made this descriptor for us, so it has no other owner.
            passed.push(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    match flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) {
        0 => Ok(size as usize),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The user of the process that has connected, or that listens: `SO_PEERCRED` of unix(7).
pub(crate) fn peer_user(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut peer: libc::ucred = unsafe { mem::zeroed() };
    let mut size = size_of_val(&peer) as socklen_t;
    let (level, name): (c_int, c_int) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    let start = ptr::from_mut(&mut peer).cast();
    // SAFETY: `size` bytes from `start` are those of `peer`, which outlives the call.
    retry(|| unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, start, &mut size) })?;
    Ok(peer.uid)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::net::socket;

    #[test]
    fn descriptors_travel_with_their_message_and_are_closed_on_exec() -> io::Result<()> {
        let (one, other) = socket::pair()?;
        let (near, mut far) = UnixStream::pair()?;
        send(one.as_fd(), b"with", [near.as_raw_fd()].into_iter())?;
        send(one.as_fd(), b"without", [].into_iter())?;
        drop(near);
        let (mut space, mut passed) = ([0; 16], Vec::new());
        assert_eq!(receive(other.as_fd(), &mut space, &mut passed)?, 4);
        assert_eq!((&space[..4], passed.len()), (&b"with"[..], 1));
        let number = passed[0].as_raw_fd();
        // SAFETY: the call takes no pointer.
        let flags = crate::sys::check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
        let mut near = UnixStream::from(passed.remove(0));
        near.write_all(b"hello")?;
        let mut heard = [0; 5];
        far.read_exact(&mut heard)?;
        assert_eq!(&heard, b"hello");
        assert_eq!(receive(other.as_fd(), &mut space, &mut passed)?, 7);
        assert!(passed.is_empty());
        drop(one);
        assert_eq!(receive(other.as_fd(), &mut space, &mut passed)?, 0);
        Ok(())
    }

    #[test]
    fn a_message_carries_as_many_descriptors_as_its_bound_and_no_more() -> io::Result<()> {
        let (one, other) = socket::pair()?;
        let null = File::open("/dev/null")?;
        let many = |count: usize| std::iter::repeat_n(null.as_raw_fd(), count);
        for count in [PASSED_PER_MESSAGE - 1, PASSED_PER_MESSAGE] {
            send(one.as_fd(), b"x", many(count))?;
            let mut passed = Vec::new();
            assert_eq!(receive(other.as_fd(), &mut [0; 4], &mut passed)?, 1);
            assert_eq!(passed.len(), count);
        }
        let refused = send(one.as_fd(), b"x", many(PASSED_PER_MESSAGE + 1));
        assert!(refused.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput));
        Ok(())
    }

    #[test]
    fn a_message_that_does_not_fit_is_an_error() -> io::Result<()> {
        let (one, other) = socket::pair()?;
        send(one.as_fd(), b"longer than four", [].into_iter())?;
        let cut = receive(other.as_fd(), &mut [0; 4], &mut Vec::new());
        assert!(cut.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
        Ok(())
    }

    #[test]
    fn the_user_of_the_peer_is_known() -> io::Result<()> {
        let (one, _other) = socket::pair()?;
        assert_eq!(
            peer_user(one.as_fd())?,
            crate::sys::process::user::own_user()
        );
        Ok(())
    }
}
