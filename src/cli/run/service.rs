//! Creates the service that the options name.
//!
//! The loop is compiled for [`Echo`] and for [`AnyService`], so code that needs a service is
//! generic over both and implements [`ServiceUser`]. The server is one user; the transcript players
//! of the tests are others. Only this file reads the files of services.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cli::options::{Serve, ServiceName};
use crate::kernel::file;
use crate::limits::{DICTIONARY_SIZE_MAX, FILE_PAUSE_MIN, FILE_READS_MAX};
use crate::protocol::codec::Codec;
use crate::protocol::service::{
    AnyService, Coded, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Run, Service, Upper,
    UpperUnicode,
};
use crate::server::blocking::Model;

/// Code that can work with either type of service.
pub trait ServiceUser {
    /// The result of that work.
    type Outcome;

    /// Uses a service that `load` creates. Another call of `load` reads the files again. Both may
    /// take long.
    fn with<S>(self, load: impl FnMut() -> Result<S, String> + Send + 'static) -> Self::Outcome
    where
        S: Service<State: Send> + Clone + Send + 'static;
}

/// Calls `user` with the service that the options name.
pub fn with_service<U: ServiceUser>(options: &Serve, user: U) -> U::Outcome {
    let service = match (options.service, &options.prefix) {
        // Under TLS the loop is compiled once, for all services.
        (ServiceName::Echo, None)
            if options.model == Model::Epoll
                && options.codec.is_none()
                && options.tls_cert.is_none() =>
        {
            return user.with(once(Echo));
        }
        (ServiceName::Echo, None) => Echo.into(),
        (ServiceName::Echo, Some(prefix)) => PrefixedEcho::new(prefix).into(),
        (ServiceName::Upper, _) if options.unicode => UpperUnicode.into(),
        (ServiceName::Upper, _) => Upper.into(),
        (ServiceName::Discard, _) => Discard.into(),
        (ServiceName::Dict, _) => {
            let path = options.dictionary.clone().unwrap_or_default();
            let codec = options.codec;
            return user.with(move || {
                let dict = load_dictionary(&path)?;
                Ok(coded(codec, AnyService::Dict(dict)))
            });
        }
        (ServiceName::Robot, _) => Robot.into(),
        (ServiceName::Run, _) => {
            // With a length prefix the client is a program, so the reply is the output alone.
            let names_peer = options.framing.overhead().front == 0;
            Run::new(options.allow.clone(), names_peer).into()
        }
        (ServiceName::Http, _) => Http::default().into(),
        #[cfg(feature = "auth")]
        (ServiceName::Ftp, _) => {
            let options = options.ftp.clone().unwrap_or_default();
            return user.with(move || super::ftp::load(&options).map(AnyService::Ftp));
        }
    };
    user.with(once(coded(options.codec, service)))
}

/// The service behind its codec, if it has one.
fn coded(codec: Option<Codec>, service: AnyService) -> AnyService {
    match codec {
        Some(Codec::Base64) => Coded::new(service).into(),
        None => service,
    }
}

/// A service without files, so there is nothing to reload.
fn once<S: Send + 'static>(service: S) -> impl FnMut() -> Result<S, String> + Send + 'static {
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

/// Reads a file, and at most one byte more than `most`, which shows that the file is too long. A
/// file that changes during the read is read again after a pause, because the result may be half
/// old and half new.
pub(super) fn read_regular(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    read_unchanged(|| read_once(path, most), thread::sleep)
}

/// Calls `read` a bounded number of times until it returns a value.
fn read_unchanged<T>(
    mut read: impl FnMut() -> Result<Option<T>, String>,
    mut pause: impl FnMut(Duration),
) -> Result<T, String> {
    for number in 0..FILE_READS_MAX {
        if number > 0 {
            pause(FILE_PAUSE_MIN * (1 << (number - 1)));
        }
        if let Some(text) = read()? {
            return Ok(text);
        }
    }
    Err(format!(
        "has changed each of {FILE_READS_MAX} times while it was read; \
         a new file should take its place by a rename"
    ))
}

/// Reads a file; returns nothing if it changed or was replaced meanwhile. The type is checked
/// before the open, because opening a device may have effects, and again after the open, because
/// the file may have been replaced. Neither open nor read blocks. See fifo(7).
fn read_once(path: &Path, most: usize) -> Result<Option<Vec<u8>>, String> {
    let wrong = |error: io::Error| error.to_string();
    let regular = |seen: Metadata| match seen.is_file() {
        true => Ok(seen),
        false => Err("is not a regular file".to_owned()),
    };
    regular(fs::metadata(path).map_err(wrong)?)?;
    let file = file::open_at_once(path).map_err(wrong)?;
    let before = regular(file.metadata().map_err(wrong)?)?;
    // One byte more than the size shows that the file has grown.
    let size = usize::try_from(before.len()).map_or(most, |size| size.min(most));
    let mut text = Vec::with_capacity(size + 1);
    let mut file = file.take(most as u64 + 1);
    file.read_to_end(&mut text).map_err(wrong)?;
    // If the file is gone, the next try reports that.
    let after = fs::metadata(path).ok();
    let is_same = after.is_some_and(|after| stamp(&after) == stamp(&before));
    Ok(is_same.then_some(text))
}

/// Identity of the file, and its state at the last change.
fn stamp(file: &Metadata) -> impl PartialEq + use<> {
    let identity = (file.dev(), file.ino());
    (identity, file.size(), file.mtime(), file.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file that changed during the first `changes` reads.
    fn read(changes: u32) -> (Result<u32, String>, Vec<u64>) {
        let (mut reads, mut pauses) = (0, Vec::new());
        let text = read_unchanged(
            || {
                reads += 1;
                Ok((reads > changes).then_some(reads))
            },
            |pause| pauses.push(pause.as_millis() as u64),
        );
        (text, pauses)
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again_a_bounded_number_of_times() {
        assert_eq!(read(0), (Ok(1), vec![]));
        assert_eq!(read(1), (Ok(2), vec![1]));
        let (text, pauses) = read(FILE_READS_MAX - 1);
        assert_eq!(text, Ok(FILE_READS_MAX));
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        for changes in [FILE_READS_MAX, FILE_READS_MAX + 1] {
            let (text, again) = read(changes);
            assert!(text.is_err_and(|reason| reason.contains("has changed each of 10 times")));
            assert_eq!(again, pauses);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_read_again() {
        let read = || Err::<Option<()>, _>("is not there".to_owned());
        let text = read_unchanged(read, |_| panic!("there is nothing to wait for"));
        assert_eq!(text, Err("is not there".to_owned()));
    }

    #[test]
    fn a_stamp_differs_between_files_and_after_a_change() -> io::Result<()> {
        let name = |what: &str| {
            let name = format!("mynah-{}-stamp-{what}", std::process::id());
            std::env::temp_dir().join(name)
        };
        let (one, other) = (name("one"), name("other"));
        fs::write(&one, "a: b\n")?;
        fs::write(&other, "a: b\n")?;
        let metadata = |path| fs::metadata(path).map(|seen| stamp(&seen));
        let before = metadata(&one)?;
        assert!(before == metadata(&one)?);
        assert!(before != metadata(&other)?);
        let file = fs::OpenOptions::new().append(true).open(&one)?;
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
        let older = metadata(&one)?;
        assert!(before != older, "it was changed at another time");
        file.set_len(3)?;
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
        assert!(older != metadata(&one)?, "it has another size");
        fs::remove_file(&one)?;
        fs::remove_file(&other)
    }
}
