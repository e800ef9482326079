//! Error numbers and their names, as constants to match on and as text to print.
//!
//! The standard library has kinds for most errors, but not for those that an accept loop must
//! distinguish (`EMFILE`, `ENFILE`), and no names as strace(1) prints them. One list yields both.
//! What an error means is not known here. Man pages: errno(3), accept(2), send(2), epoll_ctl(2).

macro_rules! errors {
    ($($name:ident)*) => {
        pub use libc::{$($name),*};

        /// The name of an error number, if sockets or epoll can return it.
        pub fn name(number: i32) -> Option<&'static str> {
            match number {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

errors! {
    EPERM ENOENT EINTR EIO EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENOTDIR EISDIR EINVAL
    ENFILE EMFILE ENOSPC EROFS EPIPE ENAMETOOLONG ENOSYS ELOOP ENONET EPROTO ENOTSOCK EPROTOTYPE
    ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED
    EXDEV ENOTEMPTY EDQUOT EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESRCH ECHILD EMSGSIZE
    ECANCELED ETOOMANYREFS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_called_what_the_man_page_calls_it() {
        assert_eq!(name(EAGAIN), Some("EAGAIN"));
        assert_eq!(name(EMFILE), Some("EMFILE"));
        assert_eq!(name(0), None);
    }
}
