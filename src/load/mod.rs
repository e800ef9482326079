//! The load generator of `mynah bench`: any echo, framed or HTTP server, measured honestly.
//!
//! It is an event loop of its own on the seam of the server, and knows nothing of the server. From
//! the bytes up:
//!
//! ```text
//!   plan          what a run is: script (one table of requests), schedule (when they are due)
//!   conversation  one connection's requests and replies, as bytes; a session of one or several servers
//!   worker        a thread: event loop, connections, clock -> tally
//!   run           one run: workers, window, samples of the processes -> outcome
//!   judge         checks of the figures, assertions, comparisons
//!   report        text, JSON, SVG, percentiles
//! ```
//!
//! Three rules hold everywhere: a request's time begins when it was due, nothing is allocated while
//! requests are measured, and a doubt about a figure stands beside the figure (`judge`).

pub mod conversation;
pub mod judge;
pub mod plan;
pub mod report;
pub mod run;
pub mod worker;
