//! Effects: work that a service waits for. The only effect is a command that runs for a request.

pub(in crate::server) mod children;
pub(in crate::server) mod commands;
pub(in crate::server) mod orphans;
