//! The users of `mynah ftp`: lines of `name:hash:home:quota:rights`.
//!
//! The home is relative to the root of the server. The quota is a size such as `100m`; empty, `-`
//! and `0` are none. The rights are letters of `rwd`. Empty lines and lines that begin with `#` are
//! left out. A table is read whole or not at all, and never changes.

use std::collections::{BTreeMap, HashSet};

use super::listing::Rights;
use super::path::Path;
use crate::base::password::Hash;
use crate::base::text::quantity::Quantity;
use crate::limits::{FTP_NAME_SIZE_MAX, FTP_USERS_MAX};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, without a colon.
    pub name: Vec<u8>,
    /// The hash of the password; `None` takes any.
    pub hash: Option<Hash>,
    /// The home, below the root.
    pub home: Path,
    /// Bytes that the home may hold.
    pub quota: Option<u64>,
    /// What the user may do.
    pub rights: Rights,
}

/// All users, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<Vec<u8>, User>);

impl Users {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// The line and what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Users, String> {
        let mut users = Users::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let user = user(line).map_err(|why| format!("line {number}: {why}"))?;
            if users.find(&user.name).is_some() {
                return Err(format!("line {number}: the name was given before"));
            }
            if users.0.len() == FTP_USERS_MAX {
                return Err(format!("line {number}: more than {FTP_USERS_MAX} users"));
            }
            users.0.insert(user.name.clone(), user);
        }
        Ok(users)
    }

    /// The user of that name.
    pub fn find(&self, name: &[u8]) -> Option<&User> {
        self.0.get(name)
    }

    /// The homes of all, each once.
    pub fn homes(&self) -> HashSet<&Path> {
        self.0.values().map(|user| &user.home).collect()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        // A line has at most a few hundred bytes.
        self.0.len() * (size_of::<User>() + 3 * FTP_NAME_SIZE_MAX)
    }
}

fn user(line: &[u8]) -> Result<User, String> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [name, hash, home, quota, rights] = fields[..] else {
        let count = fields.len();
        return Err(format!(
            "has {count} fields, must be name:hash:home:quota:rights"
        ));
    };
    if name.is_empty() || name.len() > FTP_NAME_SIZE_MAX {
        return Err(format!("the name must have 1 to {FTP_NAME_SIZE_MAX} bytes"));
    }
    let text = |field| std::str::from_utf8(field).map_err(|_| "is not UTF-8".to_owned());
    let hash = Hash::parse(text(hash)?).map_err(|why| format!("the hash {why}"))?;
    let leaves = home.split(|byte| *byte == b'/').any(|name| name == b"..");
    let home = Path::default().join(home).filter(|_| !leaves);
    Ok(User {
        name: name.to_vec(),
        hash: Some(hash),
        home: home.ok_or("the home must be a path below the root, without ..")?,
        quota: quota_of(text(quota)?)?,
        rights: rights_of(rights)?,
    })
}

fn quota_of(text: &str) -> Result<Option<u64>, String> {
    match text.trim() {
        "" | "-" | "0" => Ok(None),
        text => match Quantity::Size.whole(text) {
            Some(size) => Ok(Some(u64::try_from(size).unwrap_or(u64::MAX))),
            None => Err("the quota must be a size such as 100m, or - for none".to_owned()),
        },
    }
}

fn rights_of(letters: &[u8]) -> Result<Rights, String> {
    let mut rights = Rights::default();
    for letter in letters.trim_ascii() {
        match letter {
            b'r' => rights.read = true,
            b'w' => rights.write = true,
            b'd' => rights.delete = true,
            _ => return Err("the rights must be letters of rwd".to_owned()),
        }
    }
    Ok(rights)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";

    fn table(text: &str) -> Result<Users, String> {
        Users::parse(text.replace("HASH", HASH).as_bytes())
    }

    #[test]
    fn a_line_is_a_user() {
        let users = table("# all\n\nann:HASH:a/b:2k:rwd\r\nbob:HASH:/:-:r\neve:HASH::0:\n");
        let users = users.expect("a table");
        let ann = users.find(b"ann").expect("ann");
        assert_eq!(ann.home.absolute(), b"/a/b");
        assert_eq!(ann.quota, Some(2048));
        assert!(ann.rights.read && ann.rights.write && ann.rights.delete);
        let bob = users.find(b"bob").expect("bob");
        assert!(bob.home.is_root() && bob.quota.is_none() && bob.rights.read);
        assert!(!bob.rights.write && !bob.rights.delete);
        assert_eq!(
            users.find(b"eve").map(|eve| eve.rights),
            Some(Rights::default())
        );
        assert_eq!(users.find(b"Ann"), None);
        assert_eq!(users.homes().len(), 2);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, expected) in [
            ("ann", "line 1: has 1 fields"),
            ("\nann:secret:a:-:r", "line 2: the hash is no hash"),
            (":HASH:a:-:r", "line 1: the name"),
            ("ann:HASH:../a:-:r", "line 1: the home"),
            ("ann:HASH:a:lots:r", "line 1: the quota"),
            ("ann:HASH:a:-:rx", "line 1: the rights"),
            (
                "a:HASH:a:-:r\na:HASH:b:-:r",
                "line 2: the name was given before",
            ),
        ] {
            let why = table(text).expect_err(text);
            assert!(why.starts_with(expected), "{why}");
        }
    }

    #[test]
    fn the_number_of_users_is_bounded() {
        let lines = |count: usize| -> String {
            (0..count).map(|at| format!("u{at}:HASH:a:-:r\n")).collect()
        };
        for (count, is_taken) in [
            (FTP_USERS_MAX - 1, true),
            (FTP_USERS_MAX, true),
            (FTP_USERS_MAX + 1, false),
        ] {
            assert_eq!(table(&lines(count)).is_ok(), is_taken, "{count}");
        }
    }
}
