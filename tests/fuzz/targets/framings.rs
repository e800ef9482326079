//! See plays/framings.rs.

#![no_main]

#[path = "../plays/mod.rs"]
mod plays;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plays::framings::play(data));
