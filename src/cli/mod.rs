//! The command line: parses options, runs the commands, and maps results to exit codes. The
//! chapters of the manual are in `manual`.

mod manual;
pub mod options;
pub mod run;
