//! A client of rustls as bytes: what it would send, and what it has understood.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

/// Both versions.
pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const ISSUER: &[u8] = include_bytes!("issuer.pem");

/// A client's side of a connection.
pub(super) struct TlsPeer {
    pub(super) tls: ClientConnection,
    /// Plaintext that has arrived.
    pub(super) heard: Vec<u8>,
}

impl TlsPeer {
    /// A client that speaks `version` and trusts the issuer of the tests.
    pub(super) fn new(version: &'static SupportedProtocolVersion) -> TlsPeer {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(ISSUER).expect("a certificate");
        roots.add(certificate).expect("it can be trusted");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has it")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        tls.set_buffer_limit(None);
        TlsPeer {
            tls,
            heard: Vec::new(),
        }
    }

    /// Says `bytes`, now or behind the handshake.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.tls
            .writer()
            .write_all(bytes)
            .expect("there is no limit");
    }

    /// What is to be sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory takes all");
        }
        records
    }

    /// Understands what has arrived.
    pub(super) fn give(&mut self, mut records: &[u8]) {
        while !records.is_empty() {
            if self.tls.read_tls(&mut records).expect("there is room") == 0 {
                break;
            }
            self.tls.process_new_packets().expect("the server is right");
            let mut space = [0; 4096];
            while let Ok(count @ 1..) = self.tls.reader().read(&mut space) {
                self.heard.extend(&space[..count]);
            }
        }
    }

    /// Whether the server has said goodbye.
    pub(super) fn has_goodbye(&mut self) -> bool {
        matches!(self.tls.reader().read(&mut [0]), Ok(0))
    }
}
