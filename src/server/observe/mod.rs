//! Observation: counters, rate-limited log lines, the wiretap, and a snapshot for tests.

pub mod counters;
pub(crate) mod log_limiter;
pub mod snapshot;
pub mod wiretap;
