//! Why a session has ended before its connection did.
//!
//! A call on a socket with a session returns a [`Failure`] inside an [`io::Error`], whose kind is
//! `InvalidData`, and `UnexpectedEof` for a stream that ends without a close_notify. Neighbour:
//! `session`, which finds the failures.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};

use super::config::is_of_issuer;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// How many bytes of what the peer sent first are kept.
pub(super) const OPENING_SIZE: usize = 8;

/// Why a session has ended.
#[derive(Clone, Debug)]
pub struct Failure {
    kind: Kind,
    /// The handshake was not over.
    in_handshake: bool,
    /// The peer's first bytes, if they are no TLS record.
    opening: Option<[u8; OPENING_SIZE]>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// What rustls says.
    Tls(Error),
    /// The stream has ended without a close_notify.
    Truncated,
    /// The handshake was not over in time.
    Late,
}

impl Failure {
    pub(super) fn tls(error: Error, in_handshake: bool, opening: [u8; OPENING_SIZE]) -> Failure {
        let is_other = matches!(
            error,
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
            )
        );
        Failure {
            kind: Kind::Tls(error),
            in_handshake,
            opening: (in_handshake && is_other).then_some(opening),
        }
    }

    pub(super) fn truncated(in_handshake: bool) -> Failure {
        Failure {
            kind: Kind::Truncated,
            in_handshake,
            opening: None,
        }
    }

    pub(super) fn late() -> Failure {
        Failure {
            kind: Kind::Late,
            in_handshake: true,
            opening: None,
        }
    }

    /// The failure inside an error of a call, if there is one.
    pub fn of(error: &io::Error) -> Option<&Failure> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the handshake had not ended: no byte of the conversation has moved.
    pub fn is_in_handshake(&self) -> bool {
        self.in_handshake
    }

    /// Whether the stream has ended without a close_notify, after the handshake.
    pub fn is_truncation(&self) -> bool {
        matches!(self.kind, Kind::Truncated) && !self.in_handshake
    }

    /// Whether the peer has ended the conversation with an alert.
    pub fn is_alert(&self) -> bool {
        matches!(self.kind, Kind::Tls(Error::AlertReceived(_)))
    }

    /// The peer's first bytes, if they are no TLS record.
    pub fn opening(&self) -> Option<&[u8]> {
        self.opening.as_ref().map(|bytes| &bytes[..])
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        let kind = match failure.kind {
            Kind::Truncated => ErrorKind::UnexpectedEof,
            Kind::Late => ErrorKind::TimedOut,
            Kind::Tls(_) => ErrorKind::InvalidData,
        };
        io::Error::new(kind, failure)
    }
}

impl StdError for Failure {}

impl fmt::Display for Failure {
    /// One line without the word TLS: its writer says where it was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Truncated if self.in_handshake => f.write_str("the stream ended in it"),
            Kind::Truncated => f.write_str("the stream ended without a close_notify"),
            Kind::Late => f.write_str("it was not over in time"),
            Kind::Tls(_) if self.opening.is_some() => f.write_str("the peer does not speak TLS"),
            Kind::Tls(Error::AlertReceived(alert)) => {
                f.write_str("the peer refused it with the alert ")?;
                alert_text(*alert, f)
            }
            Kind::Tls(Error::InvalidCertificate(why)) => {
                f.write_str("the certificate cannot be verified: ")?;
                certificate_text(why, f)
            }
            Kind::Tls(error) => write!(f, "{error}"),
        }
    }
}

/// The name of an alert as RFC 8446 writes it.
fn alert_text(alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = format!("{alert:?}");
    for (place, letter) in name.char_indices() {
        let before = name[..place].chars().next_back();
        if letter.is_ascii_uppercase() && before.is_some_and(|it| it.is_ascii_lowercase()) {
            f.write_str("_")?;
        }
        write!(f, "{}", letter.to_ascii_lowercase())?;
    }
    Ok(())
}

fn certificate_text(why: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        CertificateError::UnknownIssuer => {
            f.write_str("its issuer is not trusted; --tls-ca PEM names one that is")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            f.write_str("it has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            f.write_str("it is not valid yet")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            f.write_str("it is for another name; --tls-name NAME says which is expected")
        }
        other if is_of_issuer(other) => {
            f.write_str("it is that of an issuer, or its own; --tls-ca PEM with it trusts it")
        }
        other => write!(f, "{other}"),
    }
}
