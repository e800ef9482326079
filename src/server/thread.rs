//! A thread that could not be started, in words for the user.
//!
//! A thread takes memory for its stack, and a place among the tasks that the user and the control
//! group of this process may have. pthread_create(3) answers EAGAIN for all of these.

use std::io;

/// The error with the name of the thread, and what would help.
pub(crate) fn thread_refused(thread: &str, error: &io::Error) -> io::Error {
    let line = format!(
        "{thread} cannot be started: {error}; use fewer, or allow more (ulimit -u, ulimit -v, \
         pids.max of the control group)"
    );
    io::Error::new(error.kind(), line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_thread_is_named_with_the_reason() {
        let error = io::Error::from_raw_os_error(crate::kernel::errno::EAGAIN);
        let told = thread_refused("the thread of worker 1", &error);
        assert_eq!(told.kind(), io::ErrorKind::WouldBlock);
        let told = told.to_string();
        let begin = "the thread of worker 1 cannot be started: Resource temporarily unavailable";
        assert!(
            told.starts_with(begin) && told.contains("pids.max"),
            "{told}"
        );
    }
}
