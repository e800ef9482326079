//! The load generator of `mynah bench`: any echo, framed or HTTP server, measured honestly.
//!
//! It is an event loop of the same house, on the same seam as the server, and knows nothing of the
//! server's own floors: what it measures might be anybody's. The way through it, from the bytes up:
//!
//! ```text
//!   script      what is said and must be heard: one table for all
//!   connection  one conversation: bytes only (http, page: its replies, when they are not the
//!               request; lost: those that come late; wrong: what can be wrong with them)
//!   schedule    when requests are due in an open loop
//!   worker      a thread: event loop, connections, clock -> tally
//!   run         one run: workers, window, samples of the processes (observe) -> outcome
//!   bench       everything that is asked for
//!   session     one server or several (servers: spawn, last_words, pinned), once or in rounds
//!               (compare, statistics) -> figures
//!   report      text; document: JSON; picture: SVG; hgrm: percentiles; progress: while it goes on
//! ```
//!
//! Three rules hold everywhere: a request's time begins when it was due, nothing is allocated while
//! requests are measured, and what the generator itself may have spoilt is said beside the figures
//! (`checks`, `little`).

pub mod assertion;
pub mod bench;
pub mod board;
pub mod checks;
pub mod compare;
pub mod connection;
pub mod cost;
pub mod document;
pub mod figures;
pub mod hgrm;
pub mod http;
pub mod last_words;
pub mod little;
pub mod lost;
pub mod observe;
pub mod page;
pub mod picture;
pub mod pinned;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod schedule;
pub mod script;
pub mod servers;
pub mod session;
pub mod spawn;
pub mod statistics;
pub mod surroundings;
pub mod tally;
pub mod timeline;
pub mod units;
pub mod worker;
pub mod wrong;
