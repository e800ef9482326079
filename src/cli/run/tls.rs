//! `--tls` of `connect` and `bench`: the files are read, and the name is chosen.
//!
//! Neighbours: `transport::tls`, which parses and verifies; `service`, which reads files.

use super::service::read_regular;
use super::{Exit, Failure};
use crate::limits::PEM_SIZE_MAX;
use crate::transport::Wanted;
use crate::transport::tls::{Side, Trust};

/// How connections to `host` are secured. With `protocol` the client speaks that one alone.
pub(super) fn side(wanted: &Wanted, host: &str, protocol: Option<&[u8]>) -> Result<Side, Failure> {
    let made = trust(wanted).and_then(|trust| {
        let trust = match protocol {
            Some(protocol) => trust.speaking(protocol),
            None => trust,
        };
        let name = wanted.name.as_deref().unwrap_or(host);
        Side::client(trust, name).map_err(|reason| format!("--tls-name: {reason}"))
    });
    made.map_err(|line| Failure::new(Exit::Usage, line))
}

fn trust(wanted: &Wanted) -> Result<Trust, String> {
    if wanted.insecure {
        return Trust::anyone();
    }
    let Some(path) = &wanted.ca else {
        return Trust::system().map_err(|why| format!("--tls: {why}; --tls-ca PEM names some"));
    };
    let read = read_regular(path, PEM_SIZE_MAX).and_then(|text| match text.len() > PEM_SIZE_MAX {
        true => Err(format!("is longer than {PEM_SIZE_MAX} bytes")),
        false => Trust::issuers(&text),
    });
    read.map_err(|reason| format!("--tls-ca {}: {reason}", path.display()))
}
