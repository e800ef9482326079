//! Work that a service waits for: commands that run for a request.

pub(in crate::server) mod children;
pub(in crate::server) mod commands;
pub(in crate::server) mod orphans;
