//! What the calls of the server may answer: a row a call, with every errno that its page lists and
//! that can come through.
//!
//! Left out: what the loader, the C library and Rust's runtime ask for themselves (`brk`,
//! `mprotect`, `sigaltstack` and the like), which is not ours to judge; EINTR in unbounded numbers,
//! because `sys` tries again; poll(2), which comes only after a write without room; and the line
//! `ready:`, by which a test knows its server.

/// When a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the ready line; its failure ends the start with this code and one line.
    Start(i32),
    /// Afterwards; its failure may end a connection, for a reason that is told.
    Serving,
    /// Afterwards; its failure can only be a mistake of ours, and ends the server by name.
    Fatal,
}

/// One call and its errors.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) phase: Phase,
    pub(super) call: &'static str,
    /// What its arguments contain, where one call has several uses.
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

/// Under a wait whose timer cannot be set: `timerfd_settime` fails as well, each time.
pub(super) const SHORT_WAITS: &[Row] = &[
    row(Serving, "epoll_pwait2", "", "EINTR ENOSYS EPERM"),
    row(Fatal, "epoll_pwait2", "", "EBADF EFAULT EINVAL"),
];
