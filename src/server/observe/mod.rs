//! What the server tells of itself: counters, log lines at a bounded rate, a snapshot for tests.

pub mod counters;
pub(crate) mod log_limiter;
pub mod snapshot;
