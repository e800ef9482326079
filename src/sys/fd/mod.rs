//! Files and the standard streams.

pub mod file;
pub(crate) mod inherited;
pub(crate) mod range;
pub(crate) mod standard;
pub(crate) mod stream;
pub(crate) mod terminal;
