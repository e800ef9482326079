//! See plays/takeover.rs.

#![no_main]

#[path = "../plays/mod.rs"]
mod plays;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plays::takeover::play(data));
