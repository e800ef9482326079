//! Standard output and standard error, written without ever waiting.
//!
//! The loop's thread writes lines here, and a write that sleeps would stop all connections.
//! `O_NONBLOCK` belongs to the open file, which the shell and other programs share, so the
//! inherited open file stays as it is. The method depends on the kind of stream:
//!
//! - a terminal or a pipe: a second open file of the same object, with `O_NONBLOCK`, opened through
//!   `/proc/self/fd`;
//! - a socket: send(2) with `MSG_DONTWAIT`;
//! - a regular file, a block device, `/dev/null` and similar devices: the inherited descriptor,
//!   because a write waits for a disk at most. A regular file is not opened again: a second open
//!   file would have its own offset, and later output of the shell would overwrite what was written
//!   here;
//! - any stream under `--inetd`, where they may be the peer: the lines go to the system's log;
//! - anything else, and a terminal or a pipe that cannot be opened again (of another user, or
//!   without /proc): a thread that waits in place of the loop, behind a socket pair. poll(2) before
//!   a write is not enough: a terminal reports room from one byte on, and another writer may take
//!   the room of a pipe. The thread is started only in these cases: in a process with a second
//!   thread each system call takes a reference to its descriptor, which costs an echo 1.5 %.
//!
//! Without room a write returns `WouldBlock`, or writes a part. Lines are not known here.
//! Man pages: open(2), poll(2), proc_pid_fd(5), pty(7).

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::errno;
use super::system_log::{self, SystemLog};
use crate::limits::{OUTLET_PAUSE, OUTLET_PIECE_SIZE};
use crate::sys::fd::{file, standard, stream};
use crate::sys::process::signal;

static OUTPUT: OnceLock<Outlet> = OnceLock::new();
static ERRORS: OnceLock<Outlet> = OnceLock::new();

/// Major number of the memory devices: `/dev/null`, `/dev/full` and others.
const MEMORY_DEVICES: u32 = 1;
/// `/dev/ptmx`: opening it creates another terminal.
const TERMINAL_MAKER: (u32, u32) = (5, 2);

/// A standard stream and the method of writing to it.
#[derive(Debug)]
pub(crate) struct Outlet {
    inherited: BorrowedFd<'static>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A second open file of the same object, with `O_NONBLOCK`.
    Own(File),
    Socket,
    /// The inherited descriptor.
    Shared,
    Thread(Relay),
    /// The lines are for the system's log, and the stream is left alone.
    System(SystemLog),
    /// The stream cannot be written to; the number is that of the error.
    Refused(i32),
}

/// Standard output. The method is chosen at the first call.
pub(crate) fn output() -> &'static Outlet {
    OUTPUT.get_or_init(|| Outlet::new(standard::descriptor(standard::OUTPUT)))
}

/// Standard error. The method is chosen at the first call. If both streams go to the same terminal,
/// pipe or file, they share one outlet: a line that was written in part is then finished before a
/// line of the other stream.
pub(crate) fn errors() -> &'static Outlet {
    static ARE_ONE: OnceLock<bool> = OnceLock::new();
    let are_one = || {
        let objects = [standard::OUTPUT, standard::ERRORS].map(|number| {
            let metadata = metadata(standard::descriptor(number)).ok()?;
            Some((metadata.dev(), metadata.ino()))
        });
        objects[0].is_some() && objects[0] == objects[1] && output().is_open()
    };
    if *ARE_ONE.get_or_init(are_one) {
        return output();
    }
    ERRORS.get_or_init(|| Outlet::new(standard::descriptor(standard::ERRORS)))
}

/// Sends the lines of both streams to the system's log from now on, and writes nothing to the
/// streams. To be called before the first line. Without a socket for it all lines are lost.
pub fn log_to_the_system() {
    for (outlet, number) in [(&OUTPUT, standard::OUTPUT), (&ERRORS, standard::ERRORS)] {
        outlet.get_or_init(|| Outlet {
            inherited: standard::descriptor(number),
            way: match SystemLog::new(system_log::PATH) {
                Ok(log) => Way::System(log),
                Err(_) => Way::Refused(errno::EBADF),
            },
        });
    }
}

/// Writes a line to standard error if that is no socket, and so not the peer of `--inetd`. What
/// finds no room is lost.
pub fn tell_unless_peer(line: &[u8]) {
    let errors = standard::descriptor(standard::ERRORS);
    if metadata(errors).is_ok_and(|it| !it.file_type().is_socket()) {
        let _ = Outlet::new(errors).write(line);
    }
}

/// The number of descriptors that the two outlets have opened so far.
pub fn outlet_descriptors() -> u64 {
    let outlets = [&OUTPUT, &ERRORS].into_iter().filter_map(OnceLock::get);
    outlets.map(Outlet::descriptors).sum()
}

/// The numbers of the descriptors that a line is written to, beside the standard streams.
pub(super) fn numbers() -> Vec<RawFd> {
    let outlets = [&OUTPUT, &ERRORS].into_iter().filter_map(OnceLock::get);
    outlets.map(|outlet| outlet.as_fd().as_raw_fd()).collect()
}

/// Waits until the threads, if there are any, have written all bytes passed to them, at most for
/// `span` each.
pub(crate) fn finish(span: Duration) {
    for outlet in [&OUTPUT, &ERRORS].into_iter().filter_map(OnceLock::get) {
        if let Way::Thread(relay) = &outlet.way {
            relay.finish(span);
        }
    }
}

impl Outlet {
    /// The outlet of an inherited descriptor.
    pub(super) fn new(inherited: BorrowedFd<'static>) -> Outlet {
        let way = Way::to(inherited).unwrap_or_else(|error| {
            let number = error.raw_os_error();
            Way::Refused(number.unwrap_or(errno::EBADF))
        });
        Outlet { inherited, way }
    }

    /// Writes as many of `bytes` as the stream accepts now; `WouldBlock` if it accepts none.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.way {
            Way::Own(file) => write_again(file, bytes),
            Way::Socket => stream::send(self.inherited, bytes),
            Way::Shared => stream::write(self.inherited, bytes),
            Way::Thread(relay) => relay.write(bytes),
            Way::System(log) => log.write(bytes),
            Way::Refused(number) => Err(io::Error::from_raw_os_error(*number)),
        }
    }

    /// Waits for room, at most for `span`. An error counts as room.
    pub(crate) fn wait(&self, span: Duration) -> io::Result<()> {
        stream::wait_for_room(self.as_fd(), span).map(drop)
    }

    fn is_open(&self) -> bool {
        !matches!(self.way, Way::Refused(_))
    }

    fn descriptors(&self) -> u64 {
        match self.way {
            Way::Own(_) | Way::System(_) => 1,
            Way::Thread(_) => 2,
            Way::Socket | Way::Shared | Way::Refused(_) => 0,
        }
    }
}

impl AsFd for Outlet {
    /// The descriptor whose room poll(2) and epoll(7) report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Own(file) => file.as_fd(),
            Way::Thread(relay) => relay.near.as_fd(),
            Way::System(log) => log.as_fd(),
            Way::Socket | Way::Shared | Way::Refused(_) => self.inherited,
        }
    }
}

impl Way {
    fn to(inherited: BorrowedFd<'static>) -> io::Result<Way> {
        let (_, writable) = stream::access(inherited)?;
        if !writable {
            // A stream that is open for reading only is not opened again for writing.
            return Err(io::Error::from_raw_os_error(errno::EBADF));
        }
        let metadata = metadata(inherited)?;
        let kind = metadata.file_type();
        let device = file::device(metadata.rdev());
        let is_memory = kind.is_char_device() && device.0 == MEMORY_DEVICES;
        if kind.is_socket() {
            Ok(Way::Socket)
        } else if kind.is_file() || kind.is_block_device() || is_memory {
            Ok(Way::Shared)
        } else if kind.is_fifo() || inherited.is_terminal() && device != TERMINAL_MAKER {
            match file::open_anew(inherited) {
                Ok(file) => Ok(Way::Own(file)),
                Err(_) => Relay::start(inherited).map(Way::Thread),
            }
        } else {
            Relay::start(inherited).map(Way::Thread)
        }
    }
}

fn metadata(fd: BorrowedFd<'_>) -> io::Result<Metadata> {
    File::from(fd.try_clone_to_owned()?).metadata()
}

fn write_again(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// A thread that writes to a descriptor and waits as long as needed.
///
/// The socket pair bounds the bytes that are not written yet to the kernel's send buffer
/// (`net.core.wmem_default`).
#[derive(Debug)]
struct Relay {
    near: UnixStream,
    given: AtomicU64,
    passed_on: Arc<AtomicU64>,
    thread: JoinHandle<()>,
    /// The process that has the thread. A forked one passes its bytes to the same thread, and does
    /// not learn when they are written.
    process: u32,
}

impl Relay {
    fn start(to: BorrowedFd<'static>) -> io::Result<Relay> {
        let (near, mut far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let passed_on = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&passed_on);
        let pass_on = move || {
            let mut piece = [0; OUTLET_PIECE_SIZE];
            while let Ok(length @ 1..) = far.read(&mut piece) {
                let mut rest = &piece[..length];
                while !rest.is_empty() {
                    // An error ends the thread and closes its end of the pair; the next write
                    // reports it.
                    let Ok(written) = stream::write_waiting(to, rest) else {
                        return;
                    };
                    rest = &rest[written..];
                    count.fetch_add(written as u64, Ordering::Release);
                }
            }
        };
        let thread = thread::Builder::new().name("output".to_owned());
        let thread = signal::without_signals(|| thread.spawn(pass_on))??;
        Ok(Relay {
            near,
            given: AtomicU64::new(0),
            passed_on,
            thread,
            process: std::process::id(),
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = stream::send(self.near.as_fd(), bytes)?;
        self.given.fetch_add(count as u64, Ordering::AcqRel);
        Ok(count)
    }

    fn finish(&self, span: Duration) {
        let start = Instant::now();
        while self.is_behind() && start.elapsed() < span {
            thread::sleep(OUTLET_PAUSE);
        }
    }

    /// Whether the thread still has bytes to write. A thread whose reader is gone has ended.
    fn is_behind(&self) -> bool {
        self.process == std::process::id()
            && !self.thread.is_finished()
            && self.passed_on.load(Ordering::Acquire) < self.given.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// An outlet to a descriptor that stays open until the tests end, like a standard stream.
    fn outlet(fd: impl Into<OwnedFd>) -> Outlet {
        let fd: &'static OwnedFd = Box::leak(Box::new(fd.into()));
        Outlet::new(fd.as_fd())
    }

    fn open(path: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true);
        options.open(path).expect("null(4), ptmx(4)")
    }

    /// A pipe whose reading end belongs to another process.
    fn pipe() -> (OwnedFd, Child) {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").stdin(Stdio::piped());
        let mut child = sleep.spawn().expect("every system has it");
        let end = child.stdin.take().expect("a pipe").into();
        (end, child)
    }

    fn kind<T>(answer: io::Result<T>) -> Result<T, ErrorKind> {
        answer.map_err(|error| error.kind())
    }

    #[test]
    fn each_kind_of_stream_has_its_method_of_writing() -> io::Result<()> {
        let (near, _far) = UnixStream::pair()?;
        assert!(matches!(outlet(near).way, Way::Socket));
        for device in ["/dev/null", "/dev/full"] {
            assert!(matches!(outlet(open(device)).way, Way::Shared), "{device}");
        }
        let manifest = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
        assert!(matches!(outlet(manifest).way, Way::Refused(errno::EBADF)));
        // It is a terminal, but opening it again creates another one.
        assert!(matches!(outlet(open("/dev/ptmx")).way, Way::Thread(_)));
        Ok(())
    }

    #[test]
    fn a_full_pipe_answers_and_the_flags_of_others_stay() -> io::Result<()> {
        let (end, mut holder) = pipe();
        let others = end.try_clone()?;
        let outlet = outlet(end);
        assert!(matches!(outlet.way, Way::Own(_)));
        while outlet.write(&[b'.'; 10_000]).is_ok() {}
        assert_eq!(kind(outlet.write(b".")), Err(ErrorKind::WouldBlock));
        let flags = std::fs::read_to_string(format!(
            "/proc/self/fdinfo/{}",
            std::os::fd::AsRawFd::as_raw_fd(&others)
        ))?;
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i64::from_str_radix(flags.expect("proc(5)").trim(), 8).expect("octal");
        assert_eq!(flags & 0o4000, 0, "O_NONBLOCK");
        holder.kill()?;
        holder.wait()?;
        Ok(())
    }

    #[test]
    fn a_full_socket_answers() -> io::Result<()> {
        let (near, far) = UnixStream::pair()?;
        let outlet = outlet(near);
        while outlet.write(&[b'.'; 10_000]).is_ok() {}
        assert_eq!(kind(outlet.write(b".")), Err(ErrorKind::WouldBlock));
        drop(far);
        assert_eq!(kind(outlet.write(b".")), Err(ErrorKind::BrokenPipe));
        Ok(())
    }

    #[test]
    fn a_thread_takes_a_bounded_part_and_passes_it_on_in_order() -> io::Result<()> {
        let (near, mut far) = UnixStream::pair()?;
        let to: &'static UnixStream = Box::leak(Box::new(near));
        let relay = Relay::start(to.as_fd())?;
        let mut sent = Vec::new();
        loop {
            let next = [sent.len() as u8; 1000];
            match relay.write(&next) {
                Ok(count) => sent.extend_from_slice(&next[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            assert!(sent.len() < 10 << 20, "a bound");
        }
        let mut got = vec![0; sent.len()];
        far.read_exact(&mut got)?;
        assert!(got == sent);
        relay.finish(Duration::from_secs(20));
        let passed_on = relay.passed_on.load(Ordering::Acquire);
        assert_eq!(passed_on, sent.len() as u64);
        // The other end is closed: the thread ends, and the next writes fail.
        drop(far);
        let deadline = Instant::now() + Duration::from_secs(20);
        while kind(relay.write(b"x")) != Err(ErrorKind::BrokenPipe) {
            assert!(Instant::now() < deadline);
        }
        Ok(())
    }

    #[test]
    fn a_relay_whose_reader_is_gone_is_not_waited_for() -> io::Result<()> {
        let (far, to) = UnixStream::pair()?;
        drop(far);
        let to: &'static UnixStream = Box::leak(Box::new(to));
        let relay = Relay::start(to.as_fd())?;
        relay.write(b"no reader gets this\n")?;
        while !relay.thread.is_finished() {
            thread::sleep(OUTLET_PAUSE);
        }
        assert!(!relay.is_behind());
        Ok(())
    }
}
