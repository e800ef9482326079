//! Hashes of passwords: Argon2id of RFC 9106, from RustCrypto, as PHC strings without a colon.
//!
//! The cost is fixed here: a wrong guess costs as much memory and time as a right one, and a server
//! that checks one password at a time needs [`MEMORY_SIZE`] bytes for it. A hash that was written
//! with a higher cost is refused, so that a file cannot make a check long. Neighbours:
//! `protocol::service::ftp::users`, `server::ftp`.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// Memory of one check, in KiB, as OWASP recommends with two passes: about 30 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Memory of one check in bytes.
pub const MEMORY_SIZE: usize = MEMORY_KIB as usize * 1024;

/// A hash whose form and cost were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash(String);

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Hash {
    /// Takes a hash that [`Hash::of`] has written, or another program at no higher cost.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Hash, String> {
        const RIGHT: &str = "must be a line of mynah ftp --hash-password";
        let hash = PasswordHash::new(text).map_err(|_| format!("is no hash, {RIGHT}"))?;
        let params = Params::try_from(&hash).map_err(|_| format!("has no costs, {RIGHT}"))?;
        let algorithm = Algorithm::try_from(hash.algorithm);
        if algorithm.is_err() || hash.hash.is_none() || hash.salt.is_none() {
            return Err(format!("is no hash of Argon2, {RIGHT}"));
        }
        let cost = u64::from(params.m_cost()) * u64::from(params.t_cost());
        let most = u64::from(MEMORY_KIB) * u64::from(PASSES);
        if params.m_cost() > MEMORY_KIB || cost > most {
            return Err(format!(
                "costs more than the hashes of this server, {RIGHT}"
            ));
        }
        Ok(Hash(text.to_owned()))
    }

    /// The hash of `password` with a random `salt`.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn of(password: &[u8], salt: &[u8; 16]) -> Result<Hash, String> {
        let failed = |why: argon2::password_hash::Error| format!("cannot hash: {why}");
        let argon2 = argon2().ok_or_else(|| "cannot hash".to_owned())?;
        let salt = SaltString::encode_b64(salt).map_err(failed)?;
        let hash = argon2.hash_password(password, &salt).map_err(failed)?;
        Ok(Hash(hash.to_string()))
    }

    /// Whether `password` has this hash. Takes about as long whatever the password is.
    pub fn fits(&self, password: &[u8]) -> bool {
        match (argon2(), PasswordHash::new(&self.0)) {
            (Some(argon2), Ok(hash)) => argon2.verify_password(password, &hash).is_ok(),
            _ => false,
        }
    }

    /// The hash as it stands in a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes as long as a check of a password: for a name that does not exist.
pub fn pretend(password: &[u8]) {
    // The hash is not used.
    let _ = Hash::of(password, b"0123456789abcdef");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone_and_has_no_colon() -> Result<(), String> {
        let hash = Hash::of(b"secret", b"0123456789abcdef")?;
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!hash.as_str().contains(':'));
        assert_eq!(Hash::parse(hash.as_str()), Ok(hash.clone()));
        assert!(hash.fits(b"secret"));
        assert!(!hash.fits(b"Secret") && !hash.fits(b""));
        assert_ne!(Hash::of(b"secret", b"0123456789abcdeF")?, hash);
        Ok(())
    }

    #[test]
    fn a_text_that_is_no_hash_or_costs_too_much_is_refused() {
        let salted = |costs: &str| format!("$argon2id$v=19${costs}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo");
        assert!(Hash::parse(&salted("m=19456,t=2,p=1")).is_ok());
        for text in [
            String::new(),
            "secret".to_owned(),
            "$2b$10$abc".to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            salted("m=19457,t=2,p=1"),
            salted("m=19456,t=3,p=1"),
        ] {
            assert!(Hash::parse(&text).is_err(), "{text}");
        }
    }
}
