//! The user that a process runs as: the user database, and the change from root to another user.
//!
//! Names come from the C library, so whatever it is configured for is asked; a static binary reads
//! `/etc/passwd` and `/etc/group`. The order of a change is fixed: the groups, the group, the user,
//! because the last step takes away the right to the others. When to change is not known here. Man
//! pages: getpwnam_r(3), getgrnam_r(3), initgroups(3), setgid(2), setuid(2).

use std::ffi::{CString, c_char};
use std::io;
use std::mem;
use std::ptr;

use crate::sys::check;

/// Bytes for the texts of one entry of the user database. Groups with very many members need more
/// and are refused with ERANGE.
const ENTRY_SIZE: usize = 64 << 10;

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
}

/// The user of this name and its first group, or `None` if the database has none.
pub fn user_named(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    // SAFETY: the structure is numbers and pointers, for which zero is a value.
    let mut entry: libc::passwd = unsafe { mem::zeroed() };
    let mut texts = vec![0 as c_char; ENTRY_SIZE];
    let (start, size) = (texts.as_mut_ptr(), texts.len());
    let mut found = ptr::null_mut();
    // SAFETY: `size` says how many bytes from `start` may be written; all of the pointers are ours.
    let code = unsafe { libc::getpwnam_r(name.as_ptr(), &mut entry, start, size, &mut found) };
    Ok(is_found(code, found.is_null())?.then_some(User {
        user: entry.pw_uid,
        group: entry.pw_gid,
    }))
}

/// The group of this name, or `None` if the database has none.
pub fn group_named(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    // SAFETY: the structure is numbers and pointers, for which zero is a value.
    let mut entry: libc::group = unsafe { mem::zeroed() };
    let mut texts = vec![0 as c_char; ENTRY_SIZE];
    let (start, size) = (texts.as_mut_ptr(), texts.len());
    let mut found = ptr::null_mut();
    // SAFETY: `size` says how many bytes from `start` may be written; all of the pointers are ours.
    let code = unsafe { libc::getgrnam_r(name.as_ptr(), &mut entry, start, size, &mut found) };
    Ok(is_found(code, found.is_null())?.then_some(entry.gr_gid))
}

/// Whether an entry was found. Several codes mean that there is none: getpwnam_r(3), ERRORS.
fn is_found(code: i32, is_null: bool) -> io::Result<bool> {
    match code {
        0 => Ok(!is_null),
        libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => Ok(false),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The user that this process acts as.
pub(crate) fn own_user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Makes this process, with all its threads, one of `user`. The other groups of a user come with
/// its name; without a name there are none. An error leaves the process unfit to go on.
pub fn become_user(user: User, name: Option<&str>) -> io::Result<()> {
    match name {
        Some(name) => {
            let name = CString::new(name)?;
            // SAFETY: the name ends in a zero byte and outlives the call.
            check(unsafe { libc::initgroups(name.as_ptr(), user.group) })?;
        }
        None => {
            // SAFETY: no group is read from the null pointer, because the count is 0.
            check(unsafe { libc::setgroups(0, ptr::null()) })?;
        }
    }
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::setgid(user.group) })?;
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::setuid(user.user) })?;
    // SAFETY: the call takes no pointer.
    if user.user != 0 && unsafe { libc::setuid(0) } == 0 {
        return Err(io::Error::other("the process can still become root"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_and_a_name_that_does_not_exist_is_not() -> io::Result<()> {
        assert_eq!(user_named("root")?, Some(User { user: 0, group: 0 }));
        assert_eq!(group_named("root")?, Some(0));
        assert_eq!(user_named("no-such-user-here")?, None);
        assert_eq!(group_named("no-such-group-here")?, None);
        assert!(user_named("a\0b").is_err());
        Ok(())
    }
}
