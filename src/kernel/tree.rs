//! A directory and everything below it, reached by paths that cannot leave it.
//!
//! A path is bytes with `/` between its names, relative to the directory; the empty path is the
//! directory itself. Symbolic links are followed as long as they stay inside; `sys::fd::beneath`
//! says why no check precedes an open. Create, remove and rename first open the parent and then act
//! on one name in it, which is not followed. Nothing here waits for a peer, but everything may wait
//! for a disk. Neighbours: `server::ftp`. Man pages: openat2(2), path_resolution(7).

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::limits::DIRECTORY_READ_SIZE;
use crate::sys::fd::{beneath, file};

/// A directory that is open.
#[derive(Debug)]
pub struct Tree(OwnedFd);

/// How a file is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// It must be there.
    Existing,
    /// It is created if it is missing.
    Create,
}

impl Tree {
    /// Opens the directory `path`, and checks that the kernel can keep paths below it.
    ///
    /// # Errors
    ///
    /// No such directory, or a kernel or a sandbox without openat2(2).
    pub fn open(path: &Path) -> io::Result<Tree> {
        let tree = Tree(file::open_directory(path)?.into());
        tree.below(b"")?;
        Ok(tree)
    }

    /// The directory `path`.
    pub fn below(&self, path: &[u8]) -> io::Result<Tree> {
        self.open_with(path, beneath::DIRECTORY, 0).map(Tree)
    }

    /// What is known of the object that `path` names. `followed` is about a link in its last name.
    pub fn facts(&self, path: &[u8], followed: bool) -> io::Result<Metadata> {
        let flags = if followed {
            beneath::NAMED
        } else {
            beneath::NAMED_LINK
        };
        let opened = self.open_with(path, flags, 0)?;
        File::from(opened).metadata()
    }

    /// The file `path`, for reading. The caller checks that it is regular: nothing waits for the
    /// other end of a FIFO.
    pub fn read(&self, path: &[u8]) -> io::Result<File> {
        self.open_with(path, beneath::READ, 0).map(File::from)
    }

    /// The file `path`, for reading and writing. A link is not followed.
    pub fn write(&self, path: &[u8], writing: Writing) -> io::Result<File> {
        let (flags, mode) = match writing {
            Writing::Existing => (beneath::WRITE, 0),
            Writing::Create => (beneath::CREATE, 0o644),
        };
        self.open_with(path, flags, mode).map(File::from)
    }

    /// Creates the directory `path`.
    pub fn make_directory(&self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        beneath::make_directory(parent.0.as_fd(), &name, 0o755)
    }

    /// Removes the file `path`, or a link of that name.
    pub fn remove_file(&self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        beneath::remove(parent.0.as_fd(), &name, false)
    }

    /// Removes the empty directory `path`.
    pub fn remove_directory(&self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        beneath::remove(parent.0.as_fd(), &name, true)
    }

    /// Renames `from` to `to`, and replaces what is there.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (from_parent, from) = self.parent(from)?;
        let (to_parent, to) = self.parent(to)?;
        let from = (from_parent.0.as_fd(), from.as_c_str());
        beneath::rename(from, (to_parent.0.as_fd(), to.as_c_str()))
    }

    /// Calls `each` with the names in the directory, without `.` and `..`, until it returns an
    /// error. The order is that of the file system.
    pub fn entries<E: From<io::Error>>(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Another open file, with a position of its own.
        let dir = self.below(b"")?;
        let mut space = vec![0; DIRECTORY_READ_SIZE];
        loop {
            let filled = beneath::entries(dir.0.as_fd(), &mut space)?;
            if filled == 0 {
                return Ok(());
            }
            let mut rest = &space[..filled];
            while let Some((name, after)) = first_entry(rest) {
                if name != b"." && name != b".." {
                    each(name)?;
                }
                rest = after;
            }
        }
    }

    /// The parent of `path`, and its last name.
    fn parent(&self, path: &[u8]) -> io::Result<(Tree, CString)> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        if name.is_empty() || name == b"." || name == b".." {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let parent = self.open_with(parent, beneath::NAMED_DIRECTORY, 0)?;
        Ok((Tree(parent), CString::new(name)?))
    }

    fn open_with(&self, path: &[u8], flags: i32, mode: u32) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        beneath::open(self.0.as_fd(), &CString::new(path)?, flags, mode)
    }
}

/// The name of the first entry of getdents64(2), and the bytes behind the entry. An entry is an
/// inode of 8 bytes, an offset of 8, its own length of 2, a type of 1, and the name with a NUL.
fn first_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const NAME: usize = 19;
    let length = usize::from(u16::from_ne_bytes([*bytes.get(16)?, *bytes.get(17)?]));
    let entry = bytes.get(..length)?;
    let name = entry.get(NAME..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((&name[..end], &bytes[length..]))
}

/// Sends at most `count` bytes of `file` from `offset` on to `socket`, without a copy through this
/// process. 0 is the end of the file.
pub fn send_file(socket: &impl AsFd, file: &File, offset: u64, count: usize) -> io::Result<usize> {
    beneath::send(socket.as_fd(), file.as_fd(), offset, count)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("mynah-tree-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a new folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(tree: &Tree) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        tree.entries(|name| {
            names.push(name.to_vec());
            Ok::<(), io::Error>(())
        })
        .expect("a directory");
        names.sort();
        names
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_directory() -> io::Result<()> {
        let folder = Folder::new("out");
        let (home, outside) = (folder.0.join("home"), folder.0.join("outside"));
        fs::create_dir(&home)?;
        fs::write(&outside, "secret")?;
        symlink("../outside", home.join("up"))?;
        symlink(&outside, home.join("absolute"))?;
        symlink("/proc/self/root", home.join("magic"))?;
        fs::write(home.join("file"), "text")?;
        symlink("file", home.join("inside"))?;
        let tree = Tree::open(&home)?;
        for path in ["../outside", "up", "absolute", "magic", "/etc/passwd"] {
            let refused = tree.read(path.as_bytes()).map_err(|error| error.kind());
            assert!(refused.is_err(), "{path}");
        }
        assert_eq!(tree.facts(b"inside", true)?.len(), 4);
        assert!(tree.facts(b"inside", false)?.is_symlink());
        assert_eq!(
            tree.write(b"up", Writing::Create)
                .map_err(|it| it.kind())
                .err(),
            tree.write(b"inside", Writing::Existing)
                .map_err(|it| it.kind())
                .err(),
        );
        assert_eq!(fs::read_to_string(outside)?, "secret");
        Ok(())
    }

    #[test]
    fn names_are_created_listed_renamed_and_removed() -> io::Result<()> {
        let folder = Folder::new("names");
        let tree = Tree::open(&folder.0)?;
        tree.make_directory(b"a")?;
        tree.make_directory(b"a/b")?;
        drop(tree.write(b"a/b/file", Writing::Create)?);
        assert_eq!(names(&tree.below(b"a/b")?), [b"file"]);
        tree.rename(b"a/b/file", b"a/moved")?;
        assert_eq!(
            names(&tree.below(b"a")?),
            [b"b".to_vec(), b"moved".to_vec()]
        );
        assert!(tree.remove_directory(b"a").is_err());
        tree.remove_file(b"a/moved")?;
        tree.remove_directory(b"a/b")?;
        tree.remove_directory(b"a")?;
        assert!(names(&tree).is_empty());
        for path in ["", ".", "..", "x/.."] {
            assert!(tree.remove_directory(path.as_bytes()).is_err(), "{path}");
        }
        Ok(())
    }

    #[test]
    fn entries_that_are_cut_off_end_the_list() {
        assert_eq!(first_entry(b""), None);
        assert_eq!(first_entry(&[0; 18]), None);
        let mut entry = vec![0; 24];
        entry[16] = 24;
        entry[19..21].copy_from_slice(b"ab");
        assert_eq!(first_entry(&entry), Some((&b"ab"[..], &[][..])));
        assert_eq!(first_entry(&entry[..20]), None);
    }
}
