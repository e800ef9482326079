//! FTP as far as it is bytes: commands, replies, paths, lists and the table of users.
//!
//! What a command does to files and data connections is in `server::ftp`, which has a thread for
//! each session; see there why. [`Ftp`] is the service that a reload replaces: the table of users.
//! The epoll loop never serves it. Sources: RFC 959, 1123, 2389, 2428, 3659 and
//! draft-bryan-ftp-hash.

mod command;
mod lines;
mod listing;
mod path;
mod reply;
mod users;

use std::sync::Arc;

use super::{Answer, Reply, Request, Service};
use crate::base::password;

pub use command::{COMMANDS, Command, Eprt, Epsv, Type, parse};
pub use lines::{Lines, Next};
pub use listing::{FACTS, Facts, Kind, Rights, Wanted, facts_line, ls_line, shown};
pub use path::{PART, Path, is_part};
pub use reply::{Refusal, line, lines, quoted};
pub use users::{User, Users};

/// The service `ftp`: its users.
#[derive(Clone, Debug)]
pub struct Ftp(pub Arc<Users>);

impl Service for Ftp {
    type State = ();

    fn open(&self) {}

    fn memory_max(&self) -> usize {
        self.0.memory() + password::MEMORY_SIZE
    }

    /// Ends the connection: sessions are served elsewhere.
    fn serve(&mut self, _: &mut (), _: Request<'_>, _: &mut Reply<'_>) -> Answer {
        Answer::Goodbye
    }
}
