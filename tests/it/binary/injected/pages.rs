//! The table of injected faults: one row for each system call of the server, with every errno that
//! its man page lists and that can occur.
//!
//! Not included: calls of the loader, the C library and the Rust runtime (`brk`, `mprotect`,
//! `sigaltstack` and others), because mynah does not handle them; repeated EINTR, because `sys`
//! retries; poll(2), because it only follows a write without room; the write of the ready line,
//! because the test needs it. The man page of each call in section 2 is the source of its row.

/// When a call is made, and what its failure may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the ready line. A failure ends the start with this exit code and one line.
    Start(i32),
    /// After the ready line. A failure may end a connection, with a reason in the log.
    Serving,
    /// After the ready line. Only a bug can cause this failure; it ends the server with an error
    /// line.
    Fatal,
}

/// One call and its errnos.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) phase: Phase,
    pub(super) call: &'static str,
    /// Text that the arguments contain, if a call has several uses.
    pub(super) with: &'static str,
    pub(super) errnos: &'static str,
}

const fn row(phase: Phase, call: &'static str, with: &'static str, errnos: &'static str) -> Row {
    Row {
        phase,
        call,
        with,
        errnos,
    }
}

use Phase::{Fatal, Serving, Start};

pub(super) const STARTING: &[Row] = &[
    row(
        Start(7),
        "prlimit64",
        "RLIMIT_NOFILE",
        "EFAULT EINVAL EPERM ESRCH",
    ),
    row(Start(7), "rt_sigaction", "SIGPIPE", "EFAULT EINVAL"),
    row(Start(7), "rt_sigprocmask", "USR1", "EFAULT EINVAL"),
    row(Start(7), "epoll_create1", "", "EINVAL EMFILE ENFILE ENOMEM"),
    row(
        Start(7),
        "eventfd2",
        "",
        "EINVAL EMFILE ENFILE ENODEV ENOMEM",
    ),
    row(
        Start(7),
        "timerfd_create",
        "",
        "EINVAL EMFILE ENFILE ENODEV ENOMEM EPERM",
    ),
    row(
        Start(7),
        "signalfd4",
        "",
        "EBADF EINVAL EMFILE ENFILE ENODEV ENOMEM",
    ),
    row(
        Start(2),
        "socket",
        "",
        "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT",
    ),
    row(
        Start(2),
        "setsockopt",
        "",
        "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK",
    ),
    row(
        Start(3),
        "bind",
        "",
        "EACCES EADDRINUSE EBADF EINVAL ENOTSOCK EADDRNOTAVAIL EFAULT ELOOP ENAMETOOLONG ENOENT \
         ENOMEM ENOTDIR EROFS",
    ),
    row(
        Start(4),
        "listen",
        "",
        "EADDRINUSE EBADF ENOTSOCK EOPNOTSUPP",
    ),
    row(
        Start(7),
        "getsockname",
        "",
        "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK",
    ),
    row(
        Start(7),
        "epoll_ctl",
        "EPOLL_CTL_ADD",
        "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM",
    ),
    row(
        Start(7),
        "openat",
        "/dev/null",
        "EACCES EINVAL ELOOP EMFILE ENFILE ENODEV ENOENT ENOMEM EPERM EROFS",
    ),
    row(
        Start(7),
        "mmap",
        "MAP_NORESERVE",
        "EACCES EAGAIN EINVAL ENFILE ENODEV ENOMEM EPERM",
    ),
];

pub(super) const DOOR: &[Row] = &[row(
    Serving,
    "accept4",
    "",
    "EAGAIN EBADF ECONNABORTED EFAULT EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK \
     EOPNOTSUPP EPERM EPROTO ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH ENETUNREACH \
     ENOSR ESOCKTNOSUPPORT EPROTONOSUPPORT ETIMEDOUT",
)];

pub(super) const BYTES: &[Row] = &[
    row(
        Serving,
        "recvfrom",
        "",
        "EAGAIN EBADF ECONNREFUSED ECONNRESET EFAULT EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK \
         ETIMEDOUT",
    ),
    row(
        Serving,
        "sendto",
        "",
        "EACCES EAGAIN EALREADY EBADF ECONNRESET EDESTADDRREQ EFAULT EINTR EINVAL EISCONN \
         EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPIPE ETIMEDOUT",
    ),
];

pub(super) const LOOP: &[Row] = &[
    row(
        Serving,
        "epoll_ctl",
        "EPOLL_CTL_ADD",
        "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM",
    ),
    row(
        Serving,
        "epoll_ctl",
        "EPOLL_CTL_MOD",
        "EBADF EINVAL ENOENT ENOMEM EPERM",
    ),
    row(Serving, "epoll_wait", "", "EINTR"),
    row(Fatal, "epoll_wait", "", "EBADF EFAULT EINVAL"),
    row(
        Serving,
        "timerfd_settime",
        "",
        "EBADF ECANCELED EFAULT EINVAL",
    ),
    row(Serving, "read", "", "EAGAIN EINTR"),
    row(Fatal, "read", "", "EBADF EFAULT EINVAL EIO EISDIR"),
];

pub(super) const REST: &[Row] = &[
    row(Serving, "shutdown", "", "EBADF EINVAL ENOTCONN ENOTSOCK"),
    row(Serving, "close", "", "EBADF EINTR EIO ENOSPC EDQUOT"),
    row(Serving, "ioctl", "", "EBADF EFAULT EINVAL ENOTTY"),
    row(
        Serving,
        "getpeername",
        "",
        "EBADF EFAULT EINVAL ENOBUFS ENOTCONN ENOTSOCK",
    ),
    row(
        Serving,
        "write",
        "",
        "EAGAIN EBADF EDESTADDRREQ EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC EPERM EPIPE",
    ),
];

/// Waits without a timer: `timerfd_settime` fails as well, every time.
pub(super) const SHORT_WAITS: &[Row] = &[
    row(Serving, "epoll_pwait2", "", "EINTR ENOSYS EPERM"),
    row(Fatal, "epoll_pwait2", "", "EBADF EFAULT EINVAL"),
];
