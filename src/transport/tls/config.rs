//! What a side proves and trusts, made from the bytes of its files.
//!
//! The provider of the cryptography is ring: it needs a C compiler alone, builds for musl, and runs
//! on the Rust that this package promises. Versions are 1.2 and 1.3 with the provider's suites. No
//! file is read here. Neighbours: `kernel`, which makes sessions; `cli`, which reads the files. See
//! RFC 7468 for PEM, RFC 7301 for ALPN.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error,
    InconsistentKeys, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};

use crate::limits::TLS_TICKETS;

/// What a server proves: a certificate with its key. A reload replaces it for new connections.
pub struct Identity {
    config: Mutex<Arc<ServerConfig>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// The identity that the PEM texts `certificates` and `key` hold. With `protocol` a client that
    /// names protocols must name this one.
    ///
    /// # Errors
    ///
    /// Which of the two is wrong and why: `true` for the key.
    pub fn new(
        certificates: &[u8],
        key: &[u8],
        protocol: Option<&[u8]>,
    ) -> Result<Identity, (bool, String)> {
        let config = server_config(certificates, key, protocol)?;
        Ok(Identity {
            config: Mutex::new(config),
        })
    }

    /// Proves what `other` proves from now on.
    pub fn replace(&self, other: &Identity) {
        let newer = other.config();
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is wrong with a PEM text without what is sought in it.
fn nothing_in(text: &[u8], what: &str) -> String {
    match text.windows(11).any(|part| part == b"-----BEGIN ") {
        true => format!("has no {what}"),
        false => format!("has no {what} in PEM, which begins with -----BEGIN"),
    }
}

fn certificates_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| format!("is not valid PEM: {error}"))?;
    match found.is_empty() {
        true => Err(nothing_in(text, "certificate")),
        false => Ok(found),
    }
}

fn server_config(
    certificates: &[u8],
    key: &[u8],
    protocol: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, (bool, String)> {
    let of_certificate = |reason| (false, reason);
    let chain = certificates_in(certificates).map_err(of_certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let reason = match error {
            rustls::pki_types::pem::Error::NoItemsFound => nothing_in(key, "private key"),
            error => format!("is not valid PEM: {error}"),
        };
        (true, reason)
    })?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| (false, error.to_string()))?;
    let built = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = built.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            (true, "does not fit the certificate".to_owned())
        }
        Error::General(_) | Error::InconsistentKeys(_) => {
            (true, format!("cannot be used: {error}"))
        }
        error => (false, format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = protocol.iter().map(|name| name.to_vec()).collect();
    config.send_tls13_tickets = TLS_TICKETS;
    Ok(Arc::new(config))
}

/// What a client trusts.
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// The issuers of the PEM text `issuers`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn issuers(issuers: &[u8]) -> Result<Trust, String> {
        let mut roots = RootCertStore::empty();
        let given = certificates_in(issuers)?;
        for certificate in &given {
            let added = roots.add(certificate.clone());
            added.map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let chains = chains.build().map_err(|error| error.to_string())?;
        Trust::verifying(Some(Issuers { chains, given }))
    }

    /// The issuers that this system trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    ///
    /// # Errors
    ///
    /// None can be found.
    pub fn system() -> Result<Trust, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = (found.errors.first()).map_or(String::new(), |error| format!(" ({error})"));
            return Err(format!("this system has no certificates to trust{why}"));
        }
        Trust::roots(roots)
    }

    fn roots(roots: RootCertStore) -> Result<Trust, String> {
        let builder = client_builder()?.with_root_certificates(roots);
        Ok(Trust::of(builder.with_no_client_auth()))
    }

    /// Anyone: what the server proves is not checked.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn anyone() -> Result<Trust, String> {
        Trust::verifying(None)
    }

    fn verifying(issuers: Option<Issuers>) -> Result<Trust, String> {
        let provider = provider();
        let verifier = Arc::new(Verifier { provider, issuers });
        let builder = client_builder()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(Trust::of(builder.with_no_client_auth()))
    }

    fn of(config: ClientConfig) -> Trust {
        Trust {
            config: Arc::new(config),
        }
    }

    /// The same, for a client that speaks only `protocol`.
    #[must_use]
    pub fn speaking(mut self, protocol: &[u8]) -> Trust {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.to_vec()];
        self
    }
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Which side of a connection this process is.
#[derive(Clone, Debug, Default)]
pub enum Side {
    /// Connections are plain.
    #[default]
    Plain,
    /// The server of every connection.
    Server(Arc<Identity>),
    /// The client of every connection, which expects the server to prove a name.
    Client(Arc<Trust>, ServerName<'static>),
}

impl Side {
    /// The client of servers that prove `name`: a host name or an IP address.
    ///
    /// # Errors
    ///
    /// The name is neither.
    pub fn client(trust: Trust, name: &str) -> Result<Side, String> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is neither a host name nor an IP address"))?;
        Ok(Side::Client(Arc::new(trust), name))
    }

    /// The TLS state of a new connection; `None` for a plain one.
    pub(super) fn open(&self) -> Result<Option<Connection>, Error> {
        Ok(match self {
            Side::Plain => None,
            Side::Server(identity) => Some(ServerConnection::new(identity.config())?.into()),
            Side::Client(trust, name) => {
                let config = Arc::clone(&trust.config);
                Some(ClientConnection::new(config, name.clone())?.into())
            }
        })
    }
}

/// Verifies the chains of issuers, and also accepts a certificate that was given itself.
///
/// `openssl req -x509` makes a certificate of an issuer, which has issued itself, and people serve
/// with it. webpki refuses an issuer as a server (RFC 5280, 4.2.1.9), after it has checked all that
/// does not depend on a chain, such as the dates.
#[derive(Debug)]
struct Issuers {
    chains: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

/// Whether a certificate is only refused because it is that of an issuer.
pub(super) fn is_of_issuer(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity")
}

/// Checks that a server has the key of its certificate, and the certificate itself unless every one
/// is accepted.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` accepts every certificate.
    issuers: Option<Issuers>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Issuers { chains, given }) = &self.issuers else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = chains.verify_server_cert(certificate, others, name, ocsp, now);
        match &verified {
            Err(Error::InvalidCertificate(error))
                if is_of_issuer(error) && given.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
