//! Random bytes of the kernel, for challenges. Man page: getrandom(2).

use std::io;

use super::retry;

/// Fills `bytes`, at most 256, which the kernel does not interrupt. Waits only if the kernel has
/// not gathered enough yet, soon after its start.
pub(crate) fn fill(bytes: &mut [u8; 32]) -> io::Result<()> {
    let filled = retry(|| {
        // SAFETY: the call writes at most as many bytes as the array has, which outlives it.
        let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        count as i32
    })?;
    match filled as usize == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::other("getrandom gave too few bytes")),
    }
}
