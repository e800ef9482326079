//! The command line: parses options, runs the commands, and maps results to exit codes.

pub mod options;
pub mod run;
