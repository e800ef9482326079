//! Makes the service that the options name.
//!
//! The loop is compiled for [`Echo`] and for [`AnyService`], so the code that wants a service by
//! its name is generic over both: a [`ServiceUser`]. The server is one, and the transcript players
//! of the tests are others. This file alone reads the files of services.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::kernel::file;
use crate::limits::DICTIONARY_SIZE_MAX;
use crate::options::{Serve, ServiceName};
use crate::service::{
    AnyService, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Run, Service, Upper, UpperUnicode,
};

/// Code that can work with either type of service.
pub trait ServiceUser {
    /// The result of that work.
    type Outcome;

    /// Takes a service, which `load` makes. A second call of `load` reads its files again.
    fn with<S>(self, load: impl FnMut() -> Result<S, String>) -> Self::Outcome
    where
        S: Service<State: Send> + Clone + Send + 'static;
}

/// Calls `user` with the service that the options name.
pub fn with_service<U: ServiceUser>(options: &Serve, user: U) -> U::Outcome {
    let service = match (options.service, &options.prefix) {
        (ServiceName::Echo, None) => return user.with(once(Echo)),
        (ServiceName::Echo, Some(prefix)) => PrefixedEcho::new(prefix).into(),
        (ServiceName::Upper, _) if options.unicode => UpperUnicode.into(),
        (ServiceName::Upper, _) => Upper.into(),
        (ServiceName::Discard, _) => Discard.into(),
        (ServiceName::Dict, _) => {
            let path = options.dictionary.clone().unwrap_or_default();
            return user.with(move || load_dictionary(&path).map(AnyService::Dict));
        }
        (ServiceName::Robot, _) => Robot.into(),
        (ServiceName::Run, _) => {
            // Where a length comes first, a program reads the answer: it is the output alone.
            let names_peer = options.framing.overhead().front == 0;
            Run::new(options.allow.clone(), names_peer).into()
        }
        (ServiceName::Http, _) => Http::default().into(),
    };
    user.with(once::<AnyService>(service))
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
