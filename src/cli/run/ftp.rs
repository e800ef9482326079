//! `mynah ftp`: the hash of a password, the file of users, and the folder that is served.
//!
//! A file of users is read as a whole, at the start and again after SIGHUP. Neighbours: `serve`,
//! which runs the server; `protocol::service::ftp::users`, which reads the lines.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::service::read_regular;
use super::{Exit, Failure, io_failure};
use crate::base::password::Hash;
use crate::cli::options::{Ftp as Options, Serve};
use crate::kernel::{StandardInput, StandardOutput, Tree, random};
use crate::limits::{FTP_PASSWORD_SIZE_MAX, FTP_USERS_SIZE_MAX};
use crate::protocol::service::ftp::{Ftp, Users};
use crate::server::ftp::{ANONYMOUS_HOME, Place};

/// Reads one line and prints its hash.
pub(super) fn hash_password() -> Result<(), Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, format!("--hash-password: {why}"));
    let input = StandardInput::open().map_err(io_failure("stdin"))?;
    let mut password = Vec::new();
    BufReader::new(input.take(FTP_PASSWORD_SIZE_MAX as u64 + 2))
        .read_until(b'\n', &mut password)
        .map_err(io_failure("stdin"))?;
    if password.ends_with(b"\n") {
        password.pop();
    }
    if password.ends_with(b"\r") {
        password.pop();
    }
    match password.len() {
        0 => return Err(usage("stdin has no password, must have a line".to_owned())),
        1..=FTP_PASSWORD_SIZE_MAX => {}
        _ => {
            let why = format!("must have at most {FTP_PASSWORD_SIZE_MAX} bytes");
            return Err(usage(why));
        }
    }
    let mut bytes = [0; 32];
    random(&mut bytes).map_err(io_failure("getrandom"))?;
    let mut salt = [0; 16];
    salt.copy_from_slice(&bytes[..16]);
    let hash = Hash::of(&password, &salt).map_err(usage)?;
    let mut output = StandardOutput::open().map_err(io_failure("stdout"))?;
    match output.write_all(format!("{}\n", hash.as_str()).as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io_failure("stdout")(error)),
        _ => Ok(()),
    }
}

/// The service: its users, from the file of `--users`.
pub(super) fn load(options: &Options) -> Result<Ftp, String> {
    let Some(path) = &options.users else {
        return Ok(Ftp(Arc::default()));
    };
    let read = read_regular(path, FTP_USERS_SIZE_MAX).and_then(|text| match text.len() {
        ..=FTP_USERS_SIZE_MAX => Users::parse(&text),
        _ => Err(format!("must have at most {FTP_USERS_SIZE_MAX} bytes")),
    });
    let users = read.map_err(|why| format!("--users {}: {why}", path.display()))?;
    Ok(Ftp(Arc::new(users)))
}

/// Opens the folder that is served.
pub(super) fn place(options: &Serve) -> Result<Option<Place>, Failure> {
    let Some(ftp) = &options.ftp else {
        return Ok(None);
    };
    let refused = |path: &Path, error: std::io::Error| {
        let needed = match error.kind() {
            ErrorKind::Unsupported => "; it takes openat2(2) of Linux 5.6, and a sandbox with it",
            _ => "",
        };
        let line = format!("--root {}: {error}{needed}", path.display());
        Failure::new(Exit::Usage, line)
    };
    let root = Tree::open(&ftp.root).map_err(|error| refused(&ftp.root, error))?;
    if ftp.anonymous {
        let made = root.make_directory(ANONYMOUS_HOME.as_bytes());
        match made
            .err()
            .filter(|it| it.kind() != ErrorKind::AlreadyExists)
        {
            // A root that cannot be written may have the folder all the same.
            Some(error) if root.below(ANONYMOUS_HOME.as_bytes()).is_err() => {
                return Err(refused(&ftp.root.join(ANONYMOUS_HOME), error));
            }
            _ => {}
        }
    }
    Ok(Some(Place {
        root,
        anonymous: ftp.anonymous,
        data_ports: ftp.data_ports.clone(),
    }))
}
