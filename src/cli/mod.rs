//! The command line: options into settings, settings into a run, a result into an exit code.

pub mod options;
pub mod run;
