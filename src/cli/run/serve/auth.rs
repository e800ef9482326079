//! `--auth`: reads the key at the start, and again at SIGHUP.
//!
//! A key is read before the service is loaded again. If it cannot be read, the old one stays.
//! Neighbours: `serve`, which calls this; `server::auth` shares the key between the workers.

use super::super::{Failure, key};
use crate::base::digest::Keyed;
use crate::cli::options::{AuthName, Serve, ServiceName};
use crate::server::auth::Auth;

/// Loads a service.
pub(super) type Loading<S> = Box<dyn FnMut() -> Result<S, String> + Send>;

/// The key of `--auth`, if there is one, and `load` with the reload of the key before it.
pub(super) fn open<S: Clone + Send + 'static>(
    options: &Serve,
    mut load: Loading<S>,
) -> Result<(Option<Auth>, Loading<S>), Failure> {
    let (Some(name), Some(path)) = (options.auth, &options.auth_key_file) else {
        return Ok((None, load));
    };
    const OPTION: &str = "--auth-key-file";
    let is_md5 = name == AuthName::HmacMd5;
    let auth = Auth::new(Keyed::new(is_md5, &key::read(OPTION, path)?));
    let (path, shared) = (path.clone(), auth.clone());
    // A service without files is loaded once.
    let has_files = options.service == ServiceName::Dict;
    let (mut is_loaded, mut last) = (false, None);
    let reload = move || {
        if is_loaded {
            let read = key::read_at_once(OPTION, &path)?;
            shared.replace(Keyed::new(is_md5, &read));
        }
        match &last {
            Some(service) if is_loaded => Ok(S::clone(service)),
            _ => {
                let service = load()?;
                is_loaded = true;
                last = (!has_files).then(|| service.clone());
                Ok(service)
            }
        }
    };
    Ok((Some(auth), Box::new(reload)))
}
