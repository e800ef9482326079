//! The user of a session: the name, the password, and the home that is open from then on.
//!
//! Passwords are checked one at a time, because each check takes tens of MiB, and on the thread of
//! the session. A name that is not known costs as much time as a wrong password. Neighbours:
//! `session`, `homes`, `base::password`.

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use super::control::Served;
use super::site::Site;
use crate::base::password;
use crate::kernel::Tree;
use crate::limits::FTP_PASSWORD_SIZE_MAX;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::{Path, Rights, User};
use crate::server::blocking::crew::lock;

/// The names that need no password, and their home.
const ANONYMOUS: [&[u8]; 2] = [b"anonymous", b"ftp"];
/// The home of anonymous users.
pub const ANONYMOUS_HOME: &str = "anonymous";

/// A user that is logged in.
pub(super) struct Login<'a> {
    pub(super) site: &'a Site,
    pub(super) user: User,
    pub(super) home: Tree,
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        if self.user.quota.is_some() {
            self.site.homes.release(&self.user.home);
        }
    }
}

/// The outcome of a name and a password.
pub(super) enum Outcome<'a> {
    Yes(Login<'a>),
    Wrong,
    /// The password is right, and the home cannot be used.
    NoHome(io::Error),
}

/// Whether this name needs no password.
pub(super) fn is_anonymous(site: &Site, name: &[u8]) -> bool {
    site.place.anonymous && ANONYMOUS.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Checks a name and a password, and opens the home.
pub(super) fn log_in<'a>(site: &'a Site, name: &[u8], password: &[u8]) -> Served<Outcome<'a>> {
    let user = match is_anonymous(site, name) {
        true => Some(User {
            name: ANONYMOUS[0].to_vec(),
            hash: None,
            home: Path::default().child(ANONYMOUS_HOME.as_bytes()),
            quota: None,
            rights: Rights {
                read: true,
                ..Rights::default()
            },
        }),
        false => site.users().find(name).cloned(),
    };
    let is_right = match &user {
        _ if password.len() > FTP_PASSWORD_SIZE_MAX => false,
        Some(User { hash: None, .. }) => true,
        user => {
            let _turn = Turn::wait(site)?;
            match user.as_ref().and_then(|user| user.hash.as_ref()) {
                Some(hash) => hash.fits(password),
                None => {
                    password::pretend(password);
                    false
                }
            }
        }
    };
    match user.filter(|_| is_right) {
        None => Ok(Outcome::Wrong),
        Some(user) => Ok(match open_home(site, &user) {
            Ok(home) => Outcome::Yes(Login { site, user, home }),
            Err(error) => Outcome::NoHome(error),
        }),
    }
}

/// Opens the home, which is created if only its last directory is missing, and counts it.
fn open_home(site: &Site, user: &User) -> io::Result<Tree> {
    let (root, path) = (&site.place.root, user.home.relative());
    let home = match root.below(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            root.make_directory(path)?;
            root.below(path)?
        }
        home => home?,
    };
    if user.quota.is_some() {
        site.homes.hold(&user.home, &home, || site.is_cut())?;
    }
    Ok(home)
}

/// The turn of one check of a password.
struct Turn<'a>(&'a Site);

impl Turn<'_> {
    fn wait(site: &Site) -> Served<Turn<'_>> {
        /// A session looks that often whether it is cut.
        const LOOK: Duration = Duration::from_millis(100);
        let mut is_busy = lock(&site.hashing);
        while *is_busy {
            if site.is_cut() {
                return Err(CloseReason::Cut);
            }
            let waited = site.hashing_ends.wait_timeout(is_busy, LOOK);
            is_busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_busy = true;
        Ok(Turn(site))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.hashing) = false;
        self.0.hashing_ends.notify_one();
    }
}
