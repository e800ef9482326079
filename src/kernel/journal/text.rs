//! Calls as lines of the log, in the format of strace(1).
//!
//! The lines have the level trace and the target `mynah::calls`: `RUST_LOG=mynah::calls=trace`
//! shows the calls for a single byte. Neighbour: `call`, which formats a line.

use super::{Call, Recorder};

/// The target of the lines.
const TARGET: &str = "mynah::calls";

/// Writes calls to the log.
#[derive(Clone, Copy, Debug)]
pub struct TextLog(());

impl TextLog {
    /// The recorder, if the log shows its lines.
    pub fn if_shown() -> Option<Box<dyn Recorder>> {
        let shown = log::log_enabled!(target: TARGET, log::Level::Trace);
        shown.then(|| Box::new(TextLog(())) as Box<dyn Recorder>)
    }
}

impl Recorder for TextLog {
    fn record(&mut self, call: &Call<'_>) {
        log::trace!(target: TARGET, "{call}");
    }
}
