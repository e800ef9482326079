//! Observation: counters, rate-limited log lines, and a snapshot for tests.

pub mod counters;
pub(crate) mod log_limiter;
pub mod snapshot;
