//! `--user NAME[:GROUP]`: the user that serves after root has bound the addresses.
//!
//! The names are looked up before anything is opened, so that a wrong name costs nothing. The
//! change comes after all listeners are open and before the first connection is served. The paths
//! of local listeners are given to the user. Neighbours: `serve` and `processes` call both steps,
//! `kernel::host` makes the calls. See credentials(7).

use std::io::ErrorKind;
use std::os::unix::fs::lchown;

use super::super::{Exit, Failure};
use crate::cli::options::Serve;
use crate::kernel::host::user::{self, User};
use crate::kernel::{Address, Endpoint};

/// A user to become.
pub(super) struct NewUser {
    /// As it was written.
    text: String,
    user: User,
    /// The name of the user; `None` if it was a number that the database does not have.
    name: Option<String>,
}

/// Looks up `text`, NAME or NAME:GROUP; each may be a number.
pub(super) fn look_up(text: Option<&str>) -> Result<Option<NewUser>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let refused = |why: &str| Failure::new(Exit::Usage, format!("--user {text}: {why}"));
    let failed = |error: std::io::Error| refused(&error.to_string());
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let group = match group {
        None => None,
        Some(group) => match (group.parse(), user::group_named(group).map_err(failed)?) {
            (_, Some(number)) | (Ok(number), None) => Some(number),
            (Err(_), None) => return Err(refused("there is no such group")),
        },
    };
    let found = user::user_named(name).map_err(failed)?;
    let user = match (found, name.parse(), group) {
        (Some(found), _, group) => User {
            group: group.unwrap_or(found.group),
            ..found
        },
        (None, Ok(user), Some(group)) => User { user, group },
        (None, Ok(_), None) => {
            return Err(refused(
                "this number has no entry, so a group is needed: UID:GID",
            ));
        }
        (None, Err(_), _) => return Err(refused("there is no such user")),
    };
    if !user::is_root() {
        return Err(refused(
            "only root can become another user; start as root or without --user",
        ));
    }
    Ok(Some(NewUser {
        text: text.to_owned(),
        user,
        name: found.map(|_| name.to_owned()),
    }))
}

impl NewUser {
    /// Gives the paths of local listeners to the user, and becomes that user for good.
    pub(super) fn take_over(&self, options: &Serve, addresses: &[Address]) -> Result<(), Failure> {
        let failed = |what: &str, error: std::io::Error| {
            let hint = match error.kind() {
                ErrorKind::PermissionDenied => "; it takes root and CAP_SETUID, CAP_SETGID",
                _ => "",
            };
            Failure::new(
                Exit::Usage,
                format!("--user {}: {what}: {error}{hint}", self.text),
            )
        };
        let User { user, group } = self.user;
        for (address, endpoint) in addresses.iter().zip(&options.listen) {
            if matches!(endpoint, Endpoint::Passed(_)) {
                // Its file belongs to another program.
                continue;
            }
            if let Some(path) = address.path() {
                let given = lchown(path, Some(user), Some(group));
                given.map_err(|error| failed(&path.display().to_string(), error))?;
            }
        }
        let became = user::become_user(self.user, self.name.as_deref());
        became.map_err(|error| failed("the change", error))?;
        log::info!("serving as user {user}, group {group}");
        Ok(())
    }
}
