//! Worker processes: a supervisor, and N processes that serve.
//!
//! ```text
//!                     orders: drain, stop, count, look          connections
//!   supervisor  =======================================  worker 0  <====
//!   listeners,         link (SOCK_SEQPACKET)             worker 1  <====
//!   no connection     reports: alive, counts, drained       ...
//! ```
//!
//! The supervisor opens the listeners and forks; every worker process accepts from the same
//! listeners, so a connection in a queue is accepted by any live one. A worker that ends is started
//! again after a pause (`backoff`), one that is silent is killed (`liveness`), both for each place
//! (`place`). These three are pure: `now` is a parameter. A worker reports its counters
//! (`report`), and the supervisor adds them up (`sums`); what a dead worker has reported stays in
//! the sum. The supervisor ends when all workers have ended, and a worker ends with its supervisor.
//!
//! Neighbours: `workers` runs the loops of one process and answers the orders (`reporter`);
//! `cli::run::serve` opens the listeners before and prints the ready line after. Man pages:
//! fork(2), unix(7), waitid(2), signalfd(2), PR_SET_PDEATHSIG(2const).

mod backoff;
mod liveness;
mod place;
mod report;
mod reporter;
mod sums;
mod supervisor;

pub use reporter::Reporter;
pub(super) use reporter::{Order, OrderOrEnd};
pub use supervisor::{Ended, Role, Supervision, supervise};
