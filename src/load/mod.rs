//! The load generator of `mynah bench`: it loads an echo server, framed or not, or an HTTP server.
//!
//! The generator has its own event loop over the same poller interface as the server, and knows
//! nothing of the server. The modules, from input to output:
//!
//! ```text
//!   plan          what a run is: script (one table of requests), schedule (when they are due)
//!   conversation  requests and replies of one connection, as bytes
//!   worker        a thread: event loop, connections, clock -> tally
//!   run           one run: workers, window, samples of the processes; a session of several runs
//!   judge         checks of the figures, assertions, comparisons
//!   report        text, JSON, SVG, percentiles
//!   merge         the documents of several generators -> one report
//! ```
//!
//! Three rules hold everywhere. The clock of a request starts when the request is due. The measured
//! part of a run does not allocate memory. A doubt about a figure is printed beside the figure
//! (`judge`).

pub mod conversation;
pub mod judge;
pub mod merge;
pub mod plan;
pub mod report;
pub mod run;
pub mod worker;
