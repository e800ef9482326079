//! Uploads: into a hidden part beside the file, which takes its name when all has come.
//!
//! ```text
//!   STOR name   .mynah-part-DIGEST (of the user and the name) <- bytes;  end: rename to name
//!               aborted: the part stays for 24 h, for REST n + STOR, or APPE
//! ```
//!
//! So a file is always whole: its readers see the old one until the new one is complete. A session
//! that writes a part holds its lock (flock(2)), so that no other session writes or removes it.
//!
//! `SIZE`, `REST` and `APPE` must be about the same bytes, or a client continues in the wrong
//! place. Where the file exists, `SIZE` and `APPE` are about the file, as RFC 3659 has it; where
//! only a part of this user exists, they are about the part. `REST n` continues the part if that
//! has n bytes, and else begins with the first n bytes of the file. Neighbours: `session`,
//! `homes`.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::channel::{Channel, Progress, Waited};
use super::control::Served;
use super::homes::is_too_old;
use super::session::{DENIED, NO_CHANNEL, Replied, Session, refusal};
use super::transfer::{FromAscii, Moved};
use crate::base::digest::{Algorithm, Sum, hex};
use crate::kernel::channels::{Ask, wait};
use crate::kernel::{Writing, file::try_lock};
use crate::limits::{FTP_BUFFER_SIZE, FTP_FAREWELL_TIME};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::{PART, Path, Refusal, Type, line};

/// The home is full.
pub(super) const QUOTA: Refusal = Refusal::new(552, "The quota of the home is exceeded.");
const BUSY: Refusal = Refusal::new(450, "Another upload of this name is under way.");
const BEHIND: Refusal = Refusal::new(554, "So much of it has not arrived.");

/// Bytes of the digest in the name of a part.
const DIGEST_SIZE: usize = 16;

/// An upload that is to begin.
struct Upload {
    path: Path,
    part_path: Path,
    part: File,
    /// Bytes of the part before.
    part_size: u64,
    /// Bytes of the file that is replaced.
    replaced: Option<u64>,
    /// Where the bytes go that come.
    start: u64,
    /// So many bytes of the file are copied first.
    copied: u64,
}

impl Session<'_> {
    pub(super) fn store(&mut self, path: &[u8], restart: u64) -> Served<Replied> {
        if restart > 0 && self.kind == Type::Ascii {
            let refusal = Refusal::new(504, "An upload is continued in TYPE I alone.");
            return Ok(Err(refusal));
        }
        match self.begin(path, Some(restart)) {
            Ok(upload) => self.upload(upload),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub(super) fn append(&mut self, path: &[u8]) -> Served<Replied> {
        match self.begin(path, None) {
            Ok(upload) => self.upload(upload),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The path of this user's part of `path`.
    fn part_path(&self, path: &Path) -> Result<Path, Refusal> {
        let user = &self.login()?.user;
        let mut sum = Sum::new(Algorithm::Sha256, None);
        sum.add(&user.name);
        sum.add(b"\0");
        sum.add(path.name());
        let digest = hex(&sum.finish()[..DIGEST_SIZE]);
        Ok(path.parent().child(&[PART, digest.as_bytes()].concat()))
    }

    /// This user's part of `path`, if there is one that is not too old.
    pub(super) fn part_of(&self, path: &Path) -> Result<Option<File>, Refusal> {
        let (login, part_path) = (self.login()?, self.part_path(path)?);
        match login.home.read(part_path.relative()) {
            Ok(part) => {
                let facts = part.metadata().map_err(|error| refusal(&error))?;
                Ok((facts.is_file() && !is_too_old(&facts)).then_some(part))
            }
            Err(_) => Ok(None),
        }
    }

    /// Removes this user's part of `path`, which no session may write now. Returns whether it is
    /// gone.
    pub(super) fn remove_part_of(&self, path: &Path) -> Result<bool, Refusal> {
        let (login, part_path) = (self.login()?, self.part_path(path)?);
        let (homes, home) = (&self.site.homes, &login.user.home);
        Ok(homes.remove_part(&login.home, home, &part_path, |_| true))
    }

    /// Opens and locks the part. `restart` is the offset; `None` appends.
    fn begin(&mut self, path: &[u8], restart: Option<u64>) -> Result<Upload, Refusal> {
        let (login, path) = (self.login()?, self.path(path)?);
        if !login.user.rights.write || path.is_root() {
            return Err(DENIED);
        }
        let replaced = match login.home.facts(path.relative(), false) {
            Ok(facts) if facts.is_file() => Some(facts.len()),
            Ok(facts) if facts.is_symlink() => None,
            Ok(_) => return Err(Refusal::new(553, "Not a file.")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(refusal(&error)),
        };
        let part_path = self.part_path(&path)?;
        let (homes, home) = (&self.site.homes, &login.user.home);
        homes.remove_part(&login.home, home, &part_path, is_too_old);
        let (part, part_size) = self.open_part(&part_path)?;
        let (start, copied) = match (restart, replaced) {
            (Some(offset), _) if offset <= part_size => (offset, 0),
            (Some(offset), Some(size)) if offset <= size => (offset, offset),
            (Some(_), _) => {
                self.forget(&part_path, part_size);
                return Err(BEHIND);
            }
            (None, Some(size)) => (size, size),
            (None, None) => (part_size, 0),
        };
        // As for a download, what is wrong about the file comes first.
        if matches!(self.channel, Channel::None) {
            self.forget(&part_path, part_size);
            return Err(NO_CHANNEL);
        }
        Ok(Upload {
            path,
            part_path,
            part,
            part_size,
            replaced,
            start,
            copied,
        })
    }

    /// Opens or creates a part, and locks it. Between the two another session may have finished it;
    /// then it is created again.
    fn open_part(&self, path: &Path) -> Result<(File, u64), Refusal> {
        const TRIES: u32 = 4;
        let home = &self.login()?.home;
        for _ in 0..TRIES {
            let part = home.write(path.relative(), Writing::Create);
            let part = part.map_err(|error| refusal(&error))?;
            if !try_lock(&part).map_err(|error| refusal(&error))? {
                return Err(BUSY);
            }
            let facts = part.metadata().map_err(|error| refusal(&error))?;
            let named = home.facts(path.relative(), false);
            let same = |named: &std::fs::Metadata| named.ino() == facts.ino();
            if facts.is_file() && named.is_ok_and(|named| same(&named)) {
                return Ok((part, facts.len()));
            }
        }
        Err(BUSY)
    }

    /// Removes a part that holds nothing.
    fn forget(&self, part_path: &Path, part_size: u64) {
        if let (0, Ok(login)) = (part_size, self.login()) {
            // If it stays, it is removed when it is old.
            let _ = login.home.remove_file(part_path.relative());
        }
    }

    /// Removes a part of `size` bytes: nothing is left of an upload that finds no room.
    fn discard(&self, part_path: &Path, size: u64) {
        let removed = (self.login()).map(|login| login.home.remove_file(part_path.relative()));
        if matches!(removed, Ok(Ok(()))) {
            self.refund(size);
        }
    }

    fn upload(&mut self, upload: Upload) -> Served<Replied> {
        let Upload {
            part_path,
            part_size,
            ..
        } = &upload;
        let data = match self.open_channel("Data connection for the upload.") {
            Ok(Ok(data)) => data,
            // Also if the session ends here: an upload that has not begun leaves nothing.
            other => {
                self.forget(part_path, *part_size);
                return other.map(|refused| refused.map(|_| Vec::new()));
            }
        };
        // From here on the part holds what is received now.
        let kept = match upload.copied {
            0 => upload.start,
            _ => 0,
        };
        let prepared = upload.part.set_len(kept);
        if let Err(error) = prepared {
            return Ok(Err(refusal(&error)));
        }
        self.refund(part_size - kept);
        let mut end = kept;
        let mut moved = self.copy(&upload, &mut end)?;
        if moved == Moved::All {
            moved = self.fill_part(&upload, &data, &mut end)?;
        }
        match moved {
            Moved::All => {
                drop(data);
                self.complete(&upload, end)
            }
            Moved::Refused(refusal) => {
                self.discard(part_path, end);
                drop(upload);
                self.refuse_rest(&data, refusal)
            }
            moved => {
                drop(data);
                self.moved(moved)
            }
        }
    }

    /// Refuses an upload whose rest is still coming, and reads on for a while: unread bytes would
    /// reset the data connection (tcp(7)), and clients that send to the end before they look for
    /// the reply, such as ftplib, would tell of the reset and not of the reason.
    fn refuse_rest(&mut self, data: &std::net::TcpStream, refusal: Refusal) -> Served<Replied> {
        self.control.say(&line(refusal.code, refusal.text))?;
        match self.control.read_on(data)? {
            Waited::Aborted => Ok(Ok(line(226, "The abort is complete."))),
            // All is said.
            Waited::Ready | Waited::Late => Ok(Ok(Vec::new())),
        }
    }

    /// Copies the first bytes of the file into the part, where the upload continues the file.
    fn copy(&mut self, upload: &Upload, end: &mut u64) -> Served<Moved> {
        if upload.copied == 0 {
            return Ok(Moved::All);
        }
        let opened = self
            .login()
            .map(|login| login.home.read(upload.path.relative()));
        let Ok(Ok(file)) = opened else {
            return Ok(Moved::Refused(BEHIND));
        };
        let mut space = vec![0; FTP_BUFFER_SIZE];
        while *end < upload.copied {
            if self.control.look_up(Progress { moved: *end })? {
                return Ok(Moved::Aborted);
            }
            let room = usize::try_from(upload.copied - *end).unwrap_or(usize::MAX);
            let room = room.min(space.len());
            match file.read_at(&mut space[..room], *end) {
                Ok(0) => return Ok(Moved::Refused(BEHIND)),
                Ok(count) => {
                    if let Err(refusal) = self.write(upload, &space[..count], end) {
                        return Ok(Moved::Refused(refusal));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Ok(Moved::Refused(refusal(&error))),
            }
        }
        Ok(Moved::All)
    }

    /// Receives into the part, from `end` on.
    fn fill_part(
        &mut self,
        upload: &Upload,
        data: &std::net::TcpStream,
        end: &mut u64,
    ) -> Served<Moved> {
        let mut space = vec![0; FTP_BUFFER_SIZE];
        let (mut ascii, mut text) = (FromAscii::default(), Vec::new());
        loop {
            let moved = *end - upload.start;
            let count = match self.control.receive(data, &mut space, moved)? {
                Ok(count) => count,
                Err(moved) => return Ok(moved),
            };
            let bytes = match self.kind {
                Type::Image => &space[..count],
                Type::Ascii => {
                    text.clear();
                    match count {
                        0 => ascii.finish(&mut text),
                        _ => ascii.take(&space[..count], &mut text),
                    }
                    &text
                }
            };
            if let Err(refusal) = self.write(upload, bytes, end) {
                return Ok(Moved::Refused(refusal));
            }
            if count == 0 {
                return Ok(Moved::All);
            }
        }
    }

    /// Writes bytes at `end`, if they fit into the quota.
    fn write(&self, upload: &Upload, bytes: &[u8], end: &mut u64) -> Result<(), Refusal> {
        let user = &self.login()?.user;
        let (count, credit) = (bytes.len() as u64, upload.replaced.unwrap_or(0));
        let homes = &self.site.homes;
        if !homes.charge(&user.home, count, user.quota, credit) {
            return Err(QUOTA);
        }
        match upload.part.write_all_at(bytes, *end) {
            Ok(()) => {
                *end += count;
                Ok(())
            }
            Err(error) => {
                homes.refund(&user.home, count);
                Err(refusal(&error))
            }
        }
    }

    fn refund(&self, count: u64) {
        if let Ok(login) = self.login() {
            self.site.homes.refund(&login.user.home, count);
        }
    }

    /// Gives the part its name, unless the client has left with it.
    fn complete(&mut self, upload: &Upload, end: u64) -> Served<Replied> {
        let synced = upload
            .part
            .set_len(end)
            .and_then(|()| upload.part.sync_data());
        if let Err(error) = synced {
            return Ok(Err(refusal(&error)));
        }
        // The end of the data is the end of the file, or that of a client that dies: then the
        // control connection ends as well.
        let asked = &mut [Ask::read(&self.control.stream)];
        let waited = wait(self.site.wake_ups, asked, Some(FTP_FAREWELL_TIME));
        if waited.is_ok() && asked[0].is_ready {
            self.control.fill()?;
            if self.control.has_ended && !self.control.lines.has_line() {
                return Err(CloseReason::EndOfStream);
            }
        }
        let replied = self.rename_part(upload);
        if replied == Err(QUOTA) {
            self.discard(&upload.part_path, end);
        }
        Ok(replied)
    }

    /// Gives the part its name. What it replaces may be smaller than at the beginning; then the
    /// credit for it was too high, and the quota is checked once more.
    fn rename_part(&self, upload: &Upload) -> Replied {
        let login = self.login()?;
        let (homes, user) = (&self.site.homes, &login.user);
        let turn = homes.turn(&user.home);
        let _turn = turn.wait();
        let replaced = login.home.facts(upload.path.relative(), false);
        let replaced = replaced.ok().filter(std::fs::Metadata::is_file);
        let replaced = replaced.map_or(0, |facts| facts.len());
        let is_credited = replaced >= upload.replaced.unwrap_or(0);
        if !is_credited && !homes.has_room(&user.home, user.quota, 0, replaced) {
            return Err(QUOTA);
        }
        let (part, path) = (upload.part_path.relative(), upload.path.relative());
        let renamed = login.home.rename(part, path);
        renamed.map_err(|error| refusal(&error))?;
        homes.refund(&user.home, replaced);
        Ok(line(226, "The file is complete."))
    }
}
