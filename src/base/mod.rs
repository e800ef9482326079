//! General parts that know only bytes and numbers, and import only `limits` from this crate.

pub mod bytes;
#[cfg(feature = "auth")]
pub mod digest;
pub mod find;
pub mod histogram;
#[cfg(feature = "auth")]
pub mod password;
pub mod random;
pub mod svg;
pub mod text;
pub mod time;
pub mod token_bucket;
