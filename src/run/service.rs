//! Which type a service's name stands for, and what it is made of.
//!
//! The loop is compiled for each service, so whoever wants one "by its name" has to be ready for
//! any: a [`ServiceUser`]. The server is one, and the players of transcripts are others. Files are
//! read here, and nowhere else in the program.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::kernel::file;
use crate::limits::DICTIONARY_SIZE_MAX;
use crate::options::{Serve, ServiceName};
use crate::service::{
    Dict, Discard, Echo, Http, PrefixedEcho, Robot, Run, Service, Upper, UpperUnicode,
};

/// Whoever can do something with any service.
pub trait ServiceUser {
    /// What comes of it.
    type Outcome;

    /// Takes a service, which `load` makes; and makes again, when its files may have changed.
    fn with<S>(self, load: impl FnMut() -> Result<S, String>) -> Self::Outcome
    where
        S: Service<State: Send> + Clone + Send + 'static;
}

/// Calls `user` with the service that the options name.
pub fn with_service<U: ServiceUser>(options: &Serve, user: U) -> U::Outcome {
    match (options.service, &options.prefix, &options.dictionary) {
        (ServiceName::Echo, Some(prefix), _) => user.with(once(PrefixedEcho::new(prefix))),
        (ServiceName::Echo, None, _) => user.with(once(Echo)),
        (ServiceName::Upper, ..) if options.unicode => user.with(once(UpperUnicode)),
        (ServiceName::Upper, ..) => user.with(once(Upper)),
        (ServiceName::Discard, ..) => user.with(once(Discard)),
        (ServiceName::Dict, _, path) => {
            let path = path.clone().unwrap_or_default();
            user.with(move || load_dictionary(&path))
        }
        (ServiceName::Robot, ..) => user.with(once(Robot)),
        (ServiceName::Run, ..) => {
            // Where a length comes first, an answer is data for a program, and the output alone.
            let names_peer = options.framing.overhead().front == 0;
            user.with(once(Run::new(options.allow.clone(), names_peer)))
        }
        (ServiceName::Http, ..) => user.with(once(Http::default())),
    }
}

/// A service that is made of nothing that could change.
fn once<S>(service: S) -> impl FnMut() -> Result<S, String> {
    let mut service = Some(service);
    move || {
        service
            .take()
            .ok_or_else(|| "there is nothing to read again".to_owned())
    }
}

fn load_dictionary(path: &Path) -> Result<Dict, String> {
    read_regular(path, DICTIONARY_SIZE_MAX)
        .and_then(Dict::parse)
        .map_err(|reason| format!("--dictionary {}: {reason}", path.display()))
}

/// Reads a file, and of a longer one no more than a byte over `most`, which shows that it is. It is
/// looked at before it is opened, for to open a device may do something; and again when it is open,
/// for another may have taken its place. Neither waits for anybody: a worker must not. See fifo(7).
fn read_regular(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let wrong = |error: io::Error| error.to_string();
    let regular = |seen: Metadata| match seen.is_file() {
        true => Ok(()),
        false => Err("is not a regular file".to_owned()),
    };
    regular(fs::metadata(path).map_err(wrong)?)?;
    let file = file::open_at_once(path).map_err(wrong)?;
    regular(file.metadata().map_err(wrong)?)?;
    let mut text = Vec::new();
    let mut file = file.take(most as u64 + 1);
    file.read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}
