//! Network interfaces by name and by number: the zone of a link-local address.
//!
//! A link-local address is unique on one link only, so it is given together with the interface to
//! this link. People write the name of the interface; the kernel takes its number (RFC 4007, 11).
//! Man pages: if_nametoindex(3), ipv6(7).

use std::ffi::{CStr, CString};

/// The number of the interface with this name, if it exists.
pub(crate) fn number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends in a NUL and outlives the call.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number != 0).then_some(number)
}

/// The name of the interface with this number, if it exists.
pub(crate) fn name(number: u32) -> Option<String> {
    let mut space = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the space has the IF_NAMESIZE bytes that the call may write, and outlives it.
    let found = unsafe { libc::if_indextoname(number, space.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&space).ok()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_one_number_and_one_name() {
        let number = number("lo").expect("every machine has a loopback interface");
        assert_eq!(name(number).as_deref(), Some("lo"));
    }

    #[test]
    fn an_unknown_interface_has_no_number_and_no_name() {
        for text in [
            "",
            "no-such-name",
            "l\0o",
            "a-name-longer-than-any-interface",
        ] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert_eq!(name(0), None);
        assert_eq!(name(u32::MAX), None);
    }
}
