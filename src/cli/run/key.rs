//! Reads the key of an HMAC from its file: all bytes, without one line feed at the end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::service::read_regular;
use super::{Exit, Failure};
use crate::base::digest::Keyed;
use crate::limits::KEY_SIZE_MAX;
use crate::protocol::front::auth::{AuthName, Key};

/// The key of `--auth` for a client.
pub(super) fn of(auth: Option<AuthName>, path: Option<&Path>) -> Result<Option<Key>, Failure> {
    let (Some(auth), Some(path)) = (auth, path) else {
        return Ok(None);
    };
    let key = read("--auth-key-file", path)?;
    Ok(Some(Key(Keyed::new(auth == AuthName::HmacMd5, &key))))
}

/// The key in the file that `option` names. It may be a pipe.
pub(super) fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut key = Vec::new();
        let file = File::open(path)?.take(KEY_SIZE_MAX as u64 + 2);
        { file }.read_to_end(&mut key)?;
        Ok(key)
    };
    let key = read().map_err(|error| error.to_string()).and_then(take);
    let named = |why| format!("{option} {}: {why}", path.display());
    key.map_err(|why| Failure::new(Exit::Usage, named(why)))
}

/// The same while a server runs, which must not wait: only a regular file is read.
pub(super) fn read_at_once(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let read = read_regular(path, KEY_SIZE_MAX + 1).and_then(take);
    read.map_err(|why| format!("{option} {}: {why}", path.display()))
}

/// The key in the text of its file.
pub(super) fn take(mut text: Vec<u8>) -> Result<Vec<u8>, String> {
    if text.ends_with(b"\n") {
        text.pop();
    }
    match text.len() {
        0 => Err("is empty, must have a key".to_owned()),
        1..=KEY_SIZE_MAX => Ok(text),
        _ => Err(format!(
            "is too long, must have at most {KEY_SIZE_MAX} bytes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_file_without_one_line_feed_at_the_end() {
        for (text, key) in [
            (b"k".as_slice(), Some(b"k".as_slice())),
            (b"k\n", Some(b"k")),
            (b"k\n\n", Some(b"k\n")),
            (b"k\r\n", Some(b"k\r")),
            (b" \0\xff", Some(b" \0\xff")),
            (b"", None),
            (b"\n", None),
        ] {
            assert_eq!(take(text.to_vec()).ok().as_deref(), key, "{text:?}");
        }
    }

    #[test]
    fn a_key_has_a_bounded_size() {
        for (size, is_fine) in [
            (KEY_SIZE_MAX - 1, true),
            (KEY_SIZE_MAX, true),
            (KEY_SIZE_MAX + 1, false),
        ] {
            assert_eq!(take(vec![b'k'; size]).is_ok(), is_fine, "{size}");
            let ended = [vec![b'k'; size], b"\n".to_vec()].concat();
            assert_eq!(take(ended).is_ok(), is_fine, "{size} and a line feed");
        }
    }
}
