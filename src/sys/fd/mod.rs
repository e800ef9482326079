//! Files and the standard streams.

#[cfg(feature = "auth")]
pub(crate) mod beneath;
pub mod file;
pub(crate) mod inherited;
pub(crate) mod range;
pub(crate) mod standard;
pub(crate) mod stream;
pub(crate) mod terminal;
