//! `mynah lab`: experiments that ask the kernel a question and compare its answer.
//!
//! Each experiment is one file in `experiments`: the question, the calls, what is asserted, and why
//! the kernel answers so. `table` lists them in teaching order. An experiment makes plain calls
//! through a [`Bench`], which keeps every call with its result and every check. Nothing here knows
//! the server. An assertion is an equality only where the answer is the same on every machine;
//! times and sizes of buffers are bounds or are only shown.
//!
//! Neighbours: `kernel::host::calls` makes the calls, `cli::run::lab` prints. Man pages: each
//! experiment names its own.

mod bench;
mod experiments;
mod play;
mod table;

pub(crate) use bench::{Bench, Step};
pub(crate) use play::{Played, play};
pub(crate) use table::{EXPERIMENTS, Experiment};
