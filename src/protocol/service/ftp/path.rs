//! Paths as a client sees them: absolute, below its home, which is `/`.
//!
//! `.` and `..` are taken away by the text alone (TVFS, RFC 3659, 6), so a `..` behind a link leads
//! back to where the link is, and none leads above `/`. What the file system makes of a path is
//! not known here: the kernel keeps it below the home. A name that begins with [`PART`] belongs to
//! the server and to no client.

use crate::limits::{FTP_NAME_SIZE_MAX, FTP_PATH_SIZE_MAX};

/// How the names of unfinished uploads begin.
pub const PART: &[u8] = b".mynah-part-";

/// A path without `.`, `..` and empty names. The root is empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<u8>);

impl Path {
    /// What `text` names for a client whose directory is `self`. `None` if it is too long, or names
    /// what belongs to the server.
    pub fn join(&self, text: &[u8]) -> Option<Path> {
        if text.len() > FTP_PATH_SIZE_MAX {
            return None;
        }
        let mut path = match text.first() {
            Some(b'/') => Path::default(),
            _ => self.clone(),
        };
        for name in text.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => path.0.truncate(path.parent_size()),
                name if name.len() > FTP_NAME_SIZE_MAX || is_part(name) => return None,
                name => path.push(name),
            }
        }
        (path.0.len() <= FTP_PATH_SIZE_MAX).then_some(path)
    }

    /// The path with one more name.
    pub fn child(&self, name: &[u8]) -> Path {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// The directory that it is in; that of the root is the root.
    pub fn parent(&self) -> Path {
        Path(self.0[..self.parent_size()].to_vec())
    }

    /// Its last name; that of the root is empty.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|byte| *byte == b'/');
        &self.0[start.map_or(0, |at| at + 1)..]
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Relative to the home.
    pub fn relative(&self) -> &[u8] {
        &self.0
    }

    /// As the client sees it.
    pub fn absolute(&self) -> Vec<u8> {
        [b"/", self.0.as_slice()].concat()
    }

    fn push(&mut self, name: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend(name);
    }

    fn parent_size(&self) -> usize {
        self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0)
    }
}

/// Whether `name` is that of an unfinished upload.
pub fn is_part(name: &[u8]) -> bool {
    name.starts_with(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(from: &str, text: &str) -> Option<String> {
        let from = Path::default().join(from.as_bytes()).expect("a path");
        let path = from.join(text.as_bytes())?;
        Some(String::from_utf8(path.absolute()).expect("text"))
    }

    #[test]
    fn a_path_never_leads_above_the_home() {
        for (from, text, expected) in [
            ("/", "a", "/a"),
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "/c", "/c"),
            ("/a/b", "..", "/a"),
            ("/a/b", "../../../../x", "/x"),
            ("/a", "./.././/b//", "/b"),
            ("/", "/..", "/"),
            ("/", "...", "/..."),
            ("/a", "", "/a"),
        ] {
            assert_eq!(
                joined(from, text).as_deref(),
                Some(expected),
                "{from} {text}"
            );
        }
        let path = Path::default().join(b"a/b").expect("a path");
        assert_eq!((path.name(), path.relative()), (&b"b"[..], &b"a/b"[..]));
        assert_eq!(path.parent().parent(), Path::default());
        assert!(Path::default().parent().is_root() && Path::default().name().is_empty());
    }

    #[test]
    fn names_of_the_server_and_long_ones_are_refused() {
        assert_eq!(joined("/", ".mynah-part-1"), None);
        assert_eq!(joined("/", "a/.mynah-part-1/b"), None);
        assert!(joined("/", ".mynah-part").is_some());
        for (size, is_taken) in [(254, true), (255, true), (256, false)] {
            assert_eq!(joined("/", &"n".repeat(size)).is_some(), is_taken, "{size}");
        }
        for (size, is_taken) in [
            (FTP_PATH_SIZE_MAX - 1, true),
            (FTP_PATH_SIZE_MAX, true),
            (FTP_PATH_SIZE_MAX + 1, false),
        ] {
            let text = "d/".repeat(FTP_PATH_SIZE_MAX / 2 + 1);
            assert_eq!(joined("/", &text[..size]).is_some(), is_taken, "{size}");
        }
        let long = "d/".repeat(FTP_PATH_SIZE_MAX / 2);
        assert_eq!(joined(&long, "dddd"), None);
    }
}
