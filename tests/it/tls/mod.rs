//! TLS, with rustls as the client in this process and with other programs.
//!
//! `cert.pem` is a certificate for localhost and 127.0.0.1, `key.pem` its key, and `issuer.pem` has
//! issued it. `own.pem` is for the same names and has issued itself. `other.pem` belongs to another
//! name. All are valid for a hundred years, were made by openssl(1), and prove nothing to anyone
//! but these tests.

mod binary;
mod clients;
mod peer;
mod programs;
mod sim;
mod swarm;

/// The path of a file of this folder.
fn file(name: &str) -> String {
    format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}
