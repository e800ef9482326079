//! Observation: counters, rate-limited log lines, the hook for observers with the
//! wiretap and the trace behind it, and a snapshot for tests.

pub mod counters;
pub(crate) mod log_limiter;
pub mod metrics;
pub mod snapshot;
pub mod tap;
pub mod wiretap;
