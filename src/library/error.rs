//! Why a server could not start or had to end.
//!
//! An error names the thing, the reason, and what would be right. No error of a single connection
//! is among them: it ends that connection alone, and is counted.

use std::error;
use std::fmt;
use std::io;

/// Why a server could not start or had to end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong, or settings do not fit together. One line that names the setting.
    Setting(String),
    /// An address cannot be listened on.
    Listen {
        /// The address, in the syntax of `--listen`.
        address: String,
        /// The call that failed: `socket`, `bind` or `listen`.
        call: &'static str,
        /// Its error.
        error: io::Error,
    },
    /// A call for the whole server failed.
    Io {
        /// What was done.
        what: &'static str,
        /// Its error.
        error: io::Error,
    },
}

impl Error {
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::Io { what, error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setting(line) => f.write_str(line),
            Error::Listen {
                address,
                call,
                error,
            } => write!(f, "{call} {address}: {error}"),
            Error::Io { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Setting(_) => None,
            Error::Listen { error, .. } | Error::Io { error, .. } => Some(error),
        }
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind of the kernel's error. A wrong setting is `InvalidInput`.
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Setting(_) => io::ErrorKind::InvalidInput,
            Error::Listen { error, .. } | Error::Io { error, .. } => error.kind(),
        };
        io::Error::new(kind, error)
    }
}
