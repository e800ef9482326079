//! The rows of `--trace`, which several commands have.

use std::path::PathBuf;

use super::super::values::{count, put};
use super::lab::LAB;
use super::{BENCH, CONNECT, Effect, Flag, SERVE};
use crate::kernel::journal::files::Format;
use crate::limits::TRACE_RECORDS_MAX;

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--trace",
        short: None,
        group: "Trace",
        commands: &[SERVE, BENCH, CONNECT, LAB],
        help: "keep system calls and states, and draw them: .txt, .json, .html, .pcapng",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            let path = PathBuf::from(text);
            Format::of(&path)?;
            put(&mut options.trace.file, Ok(Some(path)))
        }),
    },
    Flag {
        long: "--trace-last",
        short: None,
        group: "Trace",
        commands: &[SERVE, BENCH, CONNECT, LAB],
        help: "trace: records that are kept, the last ones",
        default: |options| format!("{}k", options.trace.last / 1000),
        effect: Effect::Value("N", |options, text| {
            let records = count(text, 1..=TRACE_RECORDS_MAX);
            put(&mut options.trace.last, records)
        }),
    },
];
