//! What homes hold: the bytes that a quota counts, and unfinished uploads that are too old.
//!
//! A home is counted when the first user with a quota logs in there, and from then on every session
//! in it adds and takes away, until the last such user has left. Unfinished uploads count. What
//! other programs do to the files meanwhile is seen by the next count. Invariant: `used` is kept
//! only for homes with a holder. Neighbours: `login`, `upload`.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::time::SystemTime;

use crate::kernel::{Tree, Writing, file::try_lock};
use crate::limits::{FTP_PART_AGE_MAX, FTP_WALK_FOLDERS_MAX};
use crate::protocol::service::ftp::{Path, is_part};
use crate::server::blocking::crew::lock;

/// The homes that are counted.
#[derive(Debug, Default)]
pub(super) struct Homes(Mutex<HashMap<Path, Use>>);

#[derive(Debug, Default)]
struct Use {
    used: u64,
    /// Sessions of users with a quota.
    holders: u32,
}

impl Homes {
    /// Counts `home` for one more user with a quota. Each is followed by a [`Homes::release`].
    pub(super) fn hold(
        &self,
        home: &Path,
        tree: &Tree,
        is_over: impl Fn() -> bool,
    ) -> io::Result<()> {
        if let Some(counted) = lock(&self.0).get_mut(home) {
            counted.holders += 1;
            return Ok(());
        }
        let mut used = 0;
        walk(tree, is_over, |_, facts| used += facts.len())?;
        let mut homes = lock(&self.0);
        // Another session may have counted meanwhile, and what it has is newer.
        let counted = homes
            .entry(home.clone())
            .or_insert(Use { used, holders: 0 });
        counted.holders += 1;
        Ok(())
    }

    pub(super) fn release(&self, home: &Path) {
        let mut homes = lock(&self.0);
        if let Some(counted) = homes.get_mut(home) {
            counted.holders -= 1;
            if counted.holders == 0 {
                homes.remove(home);
            }
        }
    }

    /// Adds `count` bytes, unless more than `limit` and `credit` would be used then. Returns
    /// whether they were added.
    pub(super) fn charge(&self, home: &Path, count: u64, limit: Option<u64>, credit: u64) -> bool {
        let mut homes = lock(&self.0);
        let Some(counted) = homes.get_mut(home) else {
            return true;
        };
        let used = counted.used.saturating_add(count);
        if limit.is_some_and(|limit| used > limit.saturating_add(credit)) {
            return false;
        }
        counted.used = used;
        true
    }

    /// Whether `count` more bytes would be within `limit`.
    pub(super) fn has_room(&self, home: &Path, count: u64, limit: Option<u64>) -> bool {
        let homes = lock(&self.0);
        let used = homes.get(home).map_or(0, |counted| counted.used);
        limit.is_none_or(|limit| used.saturating_add(count) <= limit)
    }

    /// Takes `count` bytes away.
    pub(super) fn refund(&self, home: &Path, count: u64) {
        if let Some(counted) = lock(&self.0).get_mut(home) {
            counted.used = counted.used.saturating_sub(count);
        }
    }

    /// Removes the unfinished uploads of `home` that are too old.
    pub(super) fn sweep(&self, root: &Tree, home: &Path, is_over: impl Fn() -> bool) {
        let Ok(tree) = root.below(home.relative()) else {
            return;
        };
        let mut old = Vec::new();
        let walked = walk(&tree, is_over, |path, facts| {
            if is_part(path.name()) && is_too_old(facts) && old.len() < FTP_WALK_FOLDERS_MAX {
                old.push(path.clone());
            }
        });
        if let Err(error) = walked {
            let home = home.absolute();
            let home = String::from_utf8_lossy(&home);
            log::debug!("{home}: cannot look for old uploads: {error}");
        }
        for path in old {
            self.remove_if_old(&tree, home, &path);
        }
    }

    /// Removes an unfinished upload that is too old and that no session writes. Returns whether it
    /// is gone.
    pub(super) fn remove_if_old(&self, tree: &Tree, home: &Path, path: &Path) -> bool {
        let remove = || -> io::Result<bool> {
            let file = tree.write(path.relative(), Writing::Existing)?;
            let facts = file.metadata()?;
            if !is_too_old(&facts) || !try_lock(&file)? {
                return Ok(false);
            }
            tree.remove_file(path.relative())?;
            self.refund(home, facts.len());
            Ok(true)
        };
        remove().unwrap_or(false)
    }
}

/// Whether an unfinished upload is too old to be continued.
pub(super) fn is_too_old(facts: &Metadata) -> bool {
    let age = |changed| {
        SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default()
    };
    facts
        .modified()
        .is_ok_and(|changed| age(changed) > FTP_PART_AGE_MAX)
}

/// Calls `each` with every regular file below `tree`. Directories that cannot be read or that go
/// away meanwhile are left out.
fn walk(
    tree: &Tree,
    is_over: impl Fn() -> bool,
    mut each: impl FnMut(&Path, &Metadata),
) -> io::Result<()> {
    let mut folders = vec![Path::default()];
    while let Some(folder) = folders.pop() {
        let Ok(directory) = tree.below(folder.relative()) else {
            continue;
        };
        directory.entries(|name| -> io::Result<()> {
            if is_over() {
                return Err(ErrorKind::Interrupted.into());
            }
            let Ok(facts) = directory.facts(name, false) else {
                return Ok(());
            };
            let path = folder.child(name);
            if facts.is_dir() && folders.len() < FTP_WALK_FOLDERS_MAX {
                folders.push(path);
            } else if facts.is_dir() {
                return Err(io::Error::other("there are too many directories"));
            } else if facts.is_file() {
                each(&path, &facts);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The last change in seconds since 1970.
pub(super) fn modified(facts: &Metadata) -> u64 {
    u64::try_from(facts.mtime()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_holds_at_below_and_above() {
        let homes = Homes::default();
        let home = Path::default().join(b"a").expect("a path");
        lock(&homes.0).insert(
            home.clone(),
            Use {
                used: 10,
                holders: 1,
            },
        );
        assert!(homes.charge(&home, 89, Some(100), 0));
        assert!(homes.charge(&home, 1, Some(100), 0));
        assert!(!homes.charge(&home, 1, Some(100), 0));
        assert!(homes.charge(&home, 1, Some(100), 1));
        assert!(!homes.charge(&home, u64::MAX, Some(100), 1));
        homes.refund(&home, 2);
        assert!(homes.has_room(&home, 1, Some(100)));
        assert!(!homes.has_room(&home, 2, Some(100)));
        homes.refund(&home, u64::MAX);
        assert!(homes.has_room(&home, 100, Some(100)));
        homes.release(&home);
        assert!(lock(&homes.0).is_empty());
        assert!(homes.charge(&home, 1, None, 0));
    }
}
