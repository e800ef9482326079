//! `--tls-cert` and `--tls-key`: the files are read, and read again by a reload.
//!
//! A reload first makes the new identity and the new service, and then replaces both, so that a
//! file that is wrong changes nothing. In other processes each one reads for itself; a process that
//! is forked later has what its parent has read. Neighbours: `transport::tls`, which parses;
//! `service`, which reads files.

use std::path::Path;
use std::sync::Arc;

use super::super::service::read_regular;
use crate::cli::options::{Serve, ServiceName};
use crate::limits::PEM_SIZE_MAX;
use crate::transport::tls::Identity;

/// Loads a service.
type Load<S> = Box<dyn FnMut() -> Result<S, String> + Send>;

/// The identity that the options name, if they name one.
pub(super) fn identity(options: &Serve) -> Result<Option<Arc<Identity>>, String> {
    let (Some(certificates), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(None);
    };
    // Without the protocol in its name, a client of `http` may speak another version.
    let protocol: Option<&[u8]> = match options.service {
        ServiceName::Http => Some(b"http/1.1"),
        _ => None,
    };
    let read = |flag: &str, path: &Path| {
        read_regular(path, PEM_SIZE_MAX)
            .and_then(|text| match text.len() > PEM_SIZE_MAX {
                true => Err(format!("is longer than {PEM_SIZE_MAX} bytes")),
                false => Ok(text),
            })
            .map_err(|reason| format!("{flag} {}: {reason}", path.display()))
    };
    let texts = (read("--tls-cert", certificates)?, read("--tls-key", key)?);
    let made = Identity::new(&texts.0, &texts.1, protocol);
    let made = made.map_err(|(is_key, reason)| match is_key {
        true => format!("--tls-key {}: {reason}", key.display()),
        false => format!("--tls-cert {}: {reason}", certificates.display()),
    })?;
    Ok(Some(Arc::new(made)))
}

/// The same service, with the files of `identity` read again too. A service without files is used
/// again.
pub(super) fn reloading<S: Clone + Send + 'static>(
    options: &Serve,
    identity: &Arc<Identity>,
    mut load: Load<S>,
) -> Load<S> {
    let (options, identity) = (options.clone(), Arc::clone(identity));
    let mut kept = None;
    let has_files = options.service == ServiceName::Dict;
    let mut is_first = true;
    Box::new(move || {
        if std::mem::take(&mut is_first) {
            let service = load()?;
            kept = (!has_files).then(|| service.clone());
            return Ok(service);
        }
        let newer = self::identity(&options)?;
        let service = match &kept {
            Some(service) => service.clone(),
            None => load()?,
        };
        if let Some(newer) = newer {
            identity.replace(&newer);
        }
        Ok(service)
    })
}
