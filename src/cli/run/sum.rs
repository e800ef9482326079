//! `mynah sum`, from its files to its exit code.
//!
//! Lines are those of the coreutils: the digest in hex, two blanks, the name. A name with a
//! backslash, a line feed or a carriage return has them escaped, and its line begins with a
//! backslash. A list is read whole and checked before the first of its files is opened. At a
//! terminal a file that takes longer than [`PROGRESS_PAUSE`] shows its progress on stderr.
//! Neighbours: `base::digest`, `key`.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::digest::{self, Algorithm};
use crate::base::text::escape::escape;
use crate::base::text::plural::plural;
use crate::cli::options::Sum;
use crate::kernel::{ERROR_LINES, StandardInput, StandardOutput};
use crate::limits::{SUM_LIST_SIZE_MAX, SUM_READ_SIZE};
use crate::load::report::units;

use super::{Exit, Failure, io_failure, key, output};

/// Time between two lines of progress, and before the first one of a file.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("--md5", Algorithm::Md5),
    ("--sha1", Algorithm::Sha1),
    ("--sha256", Algorithm::Sha256),
    ("--sha512", Algorithm::Sha512),
];

pub(super) fn sum(options: &Sum) -> Result<(), Failure> {
    let named = |row: &&(&str, Algorithm)| options.algorithm == Some(row.0);
    let algorithm = ALGORITHMS.iter().find(named).map(|row| row.1);
    let key = match &options.hmac_key_file {
        Some(path) => Some(key::read("--hmac-key-file", path)?),
        None => None,
    };
    let mut reader = Reader {
        algorithm: algorithm.unwrap_or(Algorithm::Sha256),
        salt: options.salt.clone().unwrap_or_default(),
        key,
        space: vec![0; SUM_READ_SIZE],
        shows_progress: io::stderr().is_terminal(),
    };
    let mut output = StandardOutput::open().map_err(io_failure("stdout"))?;
    let ended = match (&options.check, &options.files[..]) {
        (Some(list), _) => reader.check(list, &mut output),
        (None, [one, other]) if options.same => reader.compare(one, other, &mut output),
        (None, []) => reader.print(&[PathBuf::from("-")], &mut output),
        (None, files) => reader.print(files, &mut output),
    };
    match ended {
        // A reader that has closed the pipe needs no more.
        Err(End::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(End::Output(error)) => Err(io_failure("stdout")(error)),
        Err(End::Failed(failure)) => Err(failure),
        Ok(()) => Ok(()),
    }
}

/// Why the command ends early, or with an exit code.
enum End {
    Output(io::Error),
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Output(error)
    }
}

fn failed(exit: Exit, line: String) -> Result<(), End> {
    Err(End::Failed(Failure::new(exit, line)))
}

/// Reads files and computes their digests.
struct Reader {
    algorithm: Algorithm,
    salt: String,
    key: Option<Vec<u8>>,
    space: Vec<u8>,
    shows_progress: bool,
}

impl Reader {
    /// The digest of a file, as hex.
    fn digest(&mut self, path: &Path) -> io::Result<String> {
        let (mut file, size): (Box<dyn Read>, u64) = match path.as_os_str().as_bytes() {
            b"-" => (Box::new(StandardInput::open()?), 0),
            _ => {
                let file = File::open(path)?;
                let size = file.metadata()?.len();
                (Box::new(file), size)
            }
        };
        let mut sum = digest::Sum::new(self.algorithm, self.key.as_deref());
        sum.add(self.salt.as_bytes());
        let mut progress = Progress::new(self.shows_progress, path, size);
        loop {
            match file.read(&mut self.space) {
                Ok(0) => break,
                Ok(count) => {
                    sum.add(&self.space[..count]);
                    progress.moved(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let hex = |byte: &u8| format!("{byte:02x}");
        Ok(sum.finish().iter().map(hex).collect())
    }

    /// Prints a line for each file. The others follow one that cannot be read.
    fn print(&mut self, files: &[PathBuf], output: &mut impl Write) -> Result<(), End> {
        let mut last = None;
        for path in files {
            match self.digest(path) {
                Ok(digest) => {
                    let (mark, name) = written(path.as_os_str().as_bytes());
                    let line = [mark.as_bytes(), digest.as_bytes(), b"  ", &name, b"\n"];
                    output.write_all(&line.concat())?;
                }
                Err(error) => {
                    let line = format!("{}: {error}", shown(path));
                    last.replace(line)
                        .iter()
                        .for_each(|line| output::complain(line));
                }
            }
        }
        last.map_or(Ok(()), |line| failed(Exit::Io, line))
    }

    fn compare(&mut self, one: &Path, other: &Path, output: &mut impl Write) -> Result<(), End> {
        let mut digests = [const { String::new() }; 2];
        for (path, digest) in [one, other].into_iter().zip(&mut digests) {
            match self.digest(path) {
                Ok(it) => *digest = it,
                Err(error) => return failed(Exit::Io, format!("{}: {error}", shown(path))),
            }
        }
        let (is_same, are) = match digests[0] == digests[1] {
            true => (true, "are the same"),
            false => (false, "differ"),
        };
        let line = format!("{} and {} {are}\n", shown(one), shown(other));
        output.write_all(line.as_bytes())?;
        match is_same {
            true => Ok(()),
            false => failed(Exit::Assertion, String::new()),
        }
    }

    /// Verifies a list.
    fn check(&mut self, path: &Path, output: &mut impl Write) -> Result<(), End> {
        let text = match read_list(path) {
            Ok(text) => text,
            Err(error) => return failed(Exit::Io, format!("{}: {error}", shown(path))),
        };
        let entries = match list(&text, self.algorithm) {
            Ok(entries) => entries,
            Err(why) => return failed(Exit::Usage, format!("--check {}: {why}", shown(path))),
        };
        let (mut differ, mut unread) = (0, 0);
        for entry in &entries {
            let said = match self.digest(&entry.path) {
                Ok(digest) if digest::is_equal(digest.as_bytes(), entry.digest.as_bytes()) => "OK",
                Ok(_) => {
                    differ += 1;
                    "FAILED"
                }
                Err(error) => {
                    output::complain(&format!("{}: {error}", shown(&entry.path)));
                    unread += 1;
                    "FAILED open or read"
                }
            };
            // As in the coreutils, only a name of several lines is escaped here.
            let name = entry.path.as_os_str().as_bytes();
            let (mark, name) = match name.contains(&b'\n') {
                true => written(name),
                false => ("", name.to_vec()),
            };
            let line = [mark.as_bytes(), &name, b": ", said.as_bytes(), b"\n"];
            output.write_all(&line.concat())?;
        }
        let of = plural(entries.len() as u64, "file", "files");
        match (differ, unread) {
            (0, 0) => Ok(()),
            (_, 0) => failed(Exit::Assertion, format!("{differ} of {of} differ")),
            (0, _) => failed(Exit::Assertion, format!("{unread} of {of} cannot be read")),
            _ => {
                let line = format!("{differ} of {of} differ, and {unread} cannot be read");
                failed(Exit::Assertion, line)
            }
        }
    }
}

/// A name as a message shows it.
fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// A name as a line has it, and the mark in front of the line if something is escaped.
fn written(name: &[u8]) -> (&'static str, Vec<u8>) {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            byte => escaped.push(*byte),
        }
    }
    let mark = if escaped.len() > name.len() { "\\" } else { "" };
    (mark, escaped)
}

/// The name that [`written`] has escaped.
fn unescaped(escaped: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut bytes) = (Vec::new(), escaped.iter());
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(name)
}

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    digest: String,
    path: PathBuf,
}

fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    let file: Box<dyn Read> = match path.as_os_str().as_bytes() {
        b"-" => Box::new(StandardInput::open()?),
        _ => Box::new(File::open(path)?),
    };
    let mut text = Vec::new();
    file.take(SUM_LIST_SIZE_MAX as u64 + 1)
        .read_to_end(&mut text)?;
    match text.len() > SUM_LIST_SIZE_MAX {
        true => Err(io::Error::other(format!(
            "is too large, must be at most {SUM_LIST_SIZE_MAX} bytes"
        ))),
        false => Ok(text),
    }
}

/// All lines of a list, or why it is none.
fn list(text: &[u8], algorithm: Algorithm) -> Result<Vec<Entry>, String> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Err("is empty, must have lines of HEX  NAME".to_owned());
    }
    let lines = text.split(|byte| *byte == b'\n');
    let entries = lines.enumerate().map(|(place, line)| {
        entry(line, algorithm).map_err(|why| format!("line {}: {why}", place + 1))
    });
    entries.collect()
}

fn entry(line: &[u8], algorithm: Algorithm) -> Result<Entry, String> {
    let wrong = || "must be HEX  NAME".to_owned();
    let (is_escaped, rest) = match line {
        [b'\\', rest @ ..] => (true, rest),
        line => (false, line),
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let (digits, rest) = rest.split_at(digits.count());
    let [b' ', b' ' | b'*', name @ ..] = rest else {
        return Err(wrong());
    };
    if digits.len() != 2 * algorithm.size() {
        let fits = |row: &&(&str, Algorithm)| 2 * row.1.size() == digits.len();
        return Err(match ALGORITHMS.iter().find(fits) {
            Some((flag, _)) => format!("has the digest of another algorithm; write {flag}"),
            None => wrong(),
        });
    }
    let name = match is_escaped {
        true => unescaped(name).ok_or_else(wrong)?,
        false => name.to_vec(),
    };
    // No file has such a name.
    if name.is_empty() || name.contains(&0) {
        return Err(wrong());
    }
    Ok(Entry {
        digest: String::from_utf8_lossy(digits).to_ascii_lowercase(),
        path: PathBuf::from(std::ffi::OsString::from_vec(name)),
    })
}

/// The progress of one file.
struct Progress<'a> {
    path: &'a Path,
    /// Bytes of the file; 0 if that is not known.
    size: u64,
    read: u64,
    began: Instant,
    /// When the next line is due; `None` if nothing is shown.
    due: Option<Instant>,
    is_drawn: bool,
}

impl Progress<'_> {
    fn new(is_shown: bool, path: &Path, size: u64) -> Progress<'_> {
        let began = Instant::now();
        Progress {
            path,
            size,
            read: 0,
            began,
            due: is_shown.then(|| began + PROGRESS_PAUSE),
            is_drawn: false,
        }
    }

    fn moved(&mut self, count: usize) {
        self.read += count as u64;
        let Some(due) = self.due else { return };
        let now = Instant::now();
        if now < due {
            return;
        }
        let per_second = self.read as f64 / (now - self.began).as_secs_f64();
        let done = match self.size {
            size if size >= self.read => format!("{} %", self.read.saturating_mul(100) / size),
            _ => units::bytes(self.read as f64),
        };
        let rate = units::bytes(per_second);
        let name: String = shown(self.path).chars().take(40).collect();
        let line = format!("\r\x1b[K{name}: {done}, {rate}/s");
        ERROR_LINES.offer(line.as_bytes());
        (self.due, self.is_drawn) = (Some(now + PROGRESS_PAUSE), true);
    }
}

impl Drop for Progress<'_> {
    /// The line makes room for the result.
    fn drop(&mut self) {
        if self.is_drawn {
            ERROR_LINES.offer(b"\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_as_the_coreutils_do_and_comes_back() {
        for (name, mark, escaped) in [
            (b"plain name".as_slice(), "", b"plain name".as_slice()),
            (b"a\\b", "\\", b"a\\\\b"),
            (b"a\nb", "\\", b"a\\nb"),
            (b"\r\\n", "\\", b"\\r\\\\n"),
            (b"\xff \t*", "", b"\xff \t*"),
        ] {
            assert_eq!(written(name), (mark, escaped.to_vec()));
            assert_eq!(unescaped(escaped), Some(name.to_vec()));
        }
        for wrong in [b"\\".as_slice(), b"a\\x", b"\\\\\\"] {
            assert_eq!(unescaped(wrong), None);
        }
    }

    #[test]
    fn a_list_is_read_line_by_line() {
        let digest = "b24331b1a138cde62aa1f679164fc62f";
        let upper = digest.to_uppercase();
        let text = format!("{digest}  a b\n{upper} *c\n\\{digest}  d\\ne\n{digest}    f\n");
        let names = ["a b", "c", "d\ne", "  f"];
        let entries = list(text.as_bytes(), Algorithm::Md5);
        let expected = names.map(|name| Entry {
            digest: digest.to_owned(),
            path: name.into(),
        });
        assert_eq!(entries, Ok(expected.into()));
    }

    #[test]
    fn a_line_that_is_none_is_named_by_its_number() {
        let digest = "b24331b1a138cde62aa1f679164fc62f";
        let other = "has the digest of another algorithm; write --sha1";
        for (line, why) in [
            (String::new(), "must be HEX  NAME"),
            ("no list".to_owned(), "must be HEX  NAME"),
            (format!("{digest} a"), "must be HEX  NAME"),
            (format!("{digest}  "), "must be HEX  NAME"),
            (format!("{digest}  a\0"), "must be HEX  NAME"),
            (format!("{}  a", &digest[1..]), "must be HEX  NAME"),
            (format!("{digest}0  a"), "must be HEX  NAME"),
            (format!("\\{digest}  a\\b"), "must be HEX  NAME"),
            (format!("{digest}{}  a", &digest[..8]), other),
        ] {
            let text = format!("{digest}  a\n{line}\n{digest}  b\n");
            let refused = list(text.as_bytes(), Algorithm::Md5);
            assert_eq!(refused, Err(format!("line 2: {why}")), "{line:?}");
        }
        for empty in ["", "\n"] {
            let refused = list(empty.as_bytes(), Algorithm::Md5);
            assert!(refused.is_err_and(|why| why.starts_with("is empty")));
        }
    }
}
