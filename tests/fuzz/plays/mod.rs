//! The properties that the fuzz targets check. Each play accepts any bytes and panics on a
//! violation.
//!
//! `cargo test fuzz` runs the plays without a fuzzer: on all seeds, and on some thousand inputs
//! derived from them at random.

// Each target uses only one of them.
#![allow(dead_code, unreachable_pub)]

pub mod draw;
pub mod framings;
#[cfg(feature = "auth")]
pub mod ftp;
pub mod http;
pub mod machine;
pub mod options;
pub mod proxy;
pub mod takeover;
