//! What homes hold: the bytes that a quota counts, and unfinished uploads that are too old.
//!
//! A home is counted when the first user with a quota logs in there, and from then on every session
//! in it adds and takes away, until the last such user has left. Unfinished uploads count. What
//! other programs do to the files meanwhile is seen by the next count.
//!
//! The size of a file that is replaced or removed is given back. Between the look at its size and
//! the change of its name no other session may change it, or one file is given back twice: each
//! home has a [`Turn`] for that, and for the count. Invariant: `used` is kept only for homes with a
//! holder. Neighbours: `login`, `upload`.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use crate::kernel::{Tree, Writing, errno, file::try_lock};
use crate::limits::{FTP_PART_AGE_MAX, FTP_WALK_FOLDERS_MAX};
use crate::protocol::service::ftp::{Path, is_part};
use crate::server::blocking::crew::lock;

/// The homes that are counted.
#[derive(Debug, Default)]
pub(super) struct Homes(Mutex<HashMap<Path, Use>>);

#[derive(Debug, Default)]
struct Use {
    /// Bytes; `None` while they are counted.
    used: Option<u64>,
    /// Sessions of users with a quota.
    holders: u32,
    turn: Turn,
}

/// Its holder counts the home, or removes, replaces or renames a file there. A slow disk makes the
/// sessions of one home wait, and no other.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<Mutex<()>>);

impl Turn {
    pub(super) fn wait(&self) -> MutexGuard<'_, ()> {
        lock(&self.0)
    }
}

impl Homes {
    /// Counts `home` for one more user with a quota. Each is followed by a [`Homes::release`].
    pub(super) fn hold(
        &self,
        home: &Path,
        tree: &Tree,
        is_over: impl Fn() -> bool,
    ) -> io::Result<()> {
        let turn = {
            let mut homes = lock(&self.0);
            let counted = homes.entry(home.clone()).or_default();
            counted.holders += 1;
            counted.turn.clone()
        };
        // A second user waits until the first has counted.
        let _turn = turn.wait();
        if lock(&self.0).get(home).is_some_and(|it| it.used.is_some()) {
            return Ok(());
        }
        let mut used = 0;
        let walked = walk(tree, is_over, |_, facts| used += facts.len());
        if let Err(error) = walked {
            self.release(home);
            return Err(error);
        }
        if let Some(counted) = lock(&self.0).get_mut(home) {
            counted.used = Some(used);
        }
        Ok(())
    }

    /// The turn of this home, if it is counted.
    pub(super) fn turn(&self, home: &Path) -> Turn {
        let homes = lock(&self.0);
        homes
            .get(home)
            .map_or_else(Turn::default, |it| it.turn.clone())
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
        let Some(used) = homes.get_mut(home).and_then(|it| it.used.as_mut()) else {
            return true;
        };
        let more = used.saturating_add(count);
        if limit.is_some_and(|limit| more > limit.saturating_add(credit)) {
            return false;
        }
        *used = more;
        true
    }

    /// Whether the home is within `limit` after `added` more bytes and `freed` fewer.
    pub(super) fn has_room(&self, home: &Path, limit: Option<u64>, added: u64, freed: u64) -> bool {
        let used = lock(&self.0).get(home).and_then(|it| it.used).unwrap_or(0);
        let used = used.saturating_add(added).saturating_sub(freed);
        limit.is_none_or(|limit| used <= limit)
    }

    /// Takes `count` bytes away.
    pub(super) fn refund(&self, home: &Path, count: u64) {
        if let Some(used) = lock(&self.0).get_mut(home).and_then(|it| it.used.as_mut()) {
            *used = used.saturating_sub(count);
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
            self.remove_part(&tree, home, &path, is_too_old);
        }
    }

    /// Removes an unfinished upload that is `unwanted` and that no session writes. Returns whether
    /// it is gone.
    pub(super) fn remove_part(
        &self,
        tree: &Tree,
        home: &Path,
        path: &Path,
        unwanted: impl Fn(&Metadata) -> bool,
    ) -> bool {
        let remove = || -> io::Result<bool> {
            let file = tree.write(path.relative(), Writing::Existing)?;
            let facts = file.metadata()?;
            if !facts.is_file() || !unwanted(&facts) || !try_lock(&file)? {
                return Ok(false);
            }
            tree.remove_file(path.relative())?;
            self.refund(home, facts.len());
            Ok(true)
        };
        remove().unwrap_or(false)
    }

    /// Removes the directory `path`. Unfinished uploads are in no list, so a directory that holds
    /// nothing else is empty to its clients: they are removed with it.
    pub(super) fn remove_directory(&self, tree: &Tree, home: &Path, path: &Path) -> io::Result<()> {
        let removed = tree.remove_directory(path.relative());
        let full = |error: &io::Error| error.raw_os_error() == Some(errno::ENOTEMPTY);
        if !removed.as_ref().is_err_and(full) {
            return removed;
        }
        let mut parts = Vec::new();
        tree.below(path.relative())?
            .entries(|name| match is_part(name) {
                true if parts.len() < FTP_WALK_FOLDERS_MAX => {
                    parts.push(path.child(name));
                    Ok(())
                }
                _ => Err(io::Error::from_raw_os_error(errno::ENOTEMPTY)),
            })?;
        for part in parts {
            self.remove_part(tree, home, &part, |_| true);
        }
        tree.remove_directory(path.relative())
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
                used: Some(10),
                holders: 1,
                ..Use::default()
            },
        );
        assert!(homes.charge(&home, 89, Some(100), 0));
        assert!(homes.charge(&home, 1, Some(100), 0));
        assert!(!homes.charge(&home, 1, Some(100), 0));
        assert!(homes.charge(&home, 1, Some(100), 1));
        assert!(!homes.charge(&home, u64::MAX, Some(100), 1));
        homes.refund(&home, 2);
        assert!(homes.has_room(&home, Some(100), 1, 0));
        assert!(!homes.has_room(&home, Some(100), 2, 0));
        assert!(homes.has_room(&home, Some(100), 2, 1));
        homes.refund(&home, u64::MAX);
        assert!(homes.has_room(&home, Some(100), 100, 0));
        homes.release(&home);
        assert!(lock(&homes.0).is_empty());
        assert!(homes.charge(&home, 1, None, 0));
    }

    /// Runs on a thread of its own: a lock that is taken twice would never return.
    #[test]
    fn a_count_that_fails_leaves_nothing_locked() {
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let homes = Homes::default();
            let tree = Tree::open(std::path::Path::new("/")).expect("a directory");
            let counted = homes.hold(&Path::default(), &tree, || true);
            let _ = done.send((counted.is_err(), lock(&homes.0).is_empty()));
        });
        let patience = std::time::Duration::from_secs(20);
        assert_eq!(is_done.recv_timeout(patience), Ok((true, true)));
    }
}
