//! What the fuzz targets hold mynah to: each play takes any bytes and panics when something is
//! wrong. `cargo test fuzz` plays the seeds, and some thousand inputs made of them by chance, so
//! the plays need no fuzzer.

// Each target plays one of them.
#![allow(dead_code, unreachable_pub)]

pub mod draw;
pub mod framings;
pub mod http;
pub mod machine;
pub mod options;
