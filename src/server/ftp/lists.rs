//! Lists of directories, over the data connection or in a reply.
//!
//! A list is sent piece by piece while the directory is read, so a large directory takes no more
//! memory than a small one, and its order is that of the file system. Unfinished uploads, and links
//! that lead out of the home, are in no list. A link inside the home is shown as what it leads to.
//! Neighbours: `session`, `protocol::service::ftp::listing`.

use std::fs::Metadata;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::control::Served;
use super::homes::modified;
use super::session::{DENIED, Replied, Session, refusal};
use super::transfer::Moved;
use crate::kernel::Tree;
use crate::limits::FTP_BUFFER_SIZE;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::{
    Facts, Kind, Path, Refusal, Rights, Wanted, facts_line, is_part, line, lines, ls_line, shown,
};

/// How an entry is written.
#[derive(Clone)]
enum Form {
    /// As ls(1) does.
    Ls,
    /// The name behind the path that was asked for.
    Names(Vec<u8>),
    Facts(Rights, Wanted),
    /// As ls(1) does, in a reply: each line behind a blank.
    Reply,
}

/// Why a list ends early.
enum Stop {
    Moved(Moved),
    Ends(CloseReason),
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Failed(error)
    }
}

fn facts_of(seen: &Metadata) -> Facts {
    Facts {
        kind: match () {
            () if seen.is_dir() => Kind::Directory,
            () if seen.is_file() => Kind::File,
            () => Kind::Other,
        },
        size: seen.len(),
        modified: modified(seen),
        mode: seen.mode() & 0o777,
        unique: (seen.dev(), seen.ino()),
    }
}

impl Form {
    /// Adds the line of an entry.
    fn write(&self, facts: &Facts, now: u64, name: &[u8], text: &mut Vec<u8>) {
        let name = shown(name);
        let line = match self {
            Form::Ls => ls_line(facts, now, &name),
            Form::Reply => [b" ", ls_line(facts, now, &name).as_slice()].concat(),
            Form::Names(path) => [path.as_slice(), &name].concat(),
            Form::Facts(rights, wanted) => facts_line(facts, None, *rights, *wanted, &name),
        };
        text.extend(line);
        text.extend(b"\r\n");
    }
}

impl Session<'_> {
    pub(super) fn list(&mut self, path: &[u8]) -> Served<Replied> {
        self.transfer_list(path, Form::Ls, false)
    }

    /// `NLST`: paths that the client can use as they are (RFC 1123, 4.1.2.7).
    pub(super) fn names(&mut self, path: &[u8]) -> Served<Replied> {
        let mut prefix = path.to_vec();
        if !path.is_empty() && !path.ends_with(b"/") {
            prefix.push(b'/');
        }
        self.transfer_list(path, Form::Names(shown(&prefix)), false)
    }

    pub(super) fn facts_of_all(&mut self, path: &[u8]) -> Served<Replied> {
        match self.login().map(|login| login.user.rights) {
            Ok(rights) => self.transfer_list(path, Form::Facts(rights, self.wanted), true),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// `MLST`: the facts of one object, in the reply.
    pub(super) fn facts_of_one(&mut self, path: &[u8]) -> Replied {
        let (path, rights) = (self.path(path)?, self.login()?.user.rights);
        if !rights.read {
            return Err(DENIED);
        }
        let facts = facts_of(&self.look(&path)?);
        let name = shown(&path.absolute());
        let entry = facts_line(&facts, None, rights, self.wanted, &name);
        Ok(lines(250, "The facts:", [entry], "End"))
    }

    /// What is at `path`: an open directory, or the facts of a file.
    fn found(&self, path: &[u8]) -> Result<(Path, Option<Tree>, Facts), Refusal> {
        let path = self.path(path)?;
        let login = self.login()?;
        if !login.user.rights.read {
            return Err(DENIED);
        }
        let facts = facts_of(&self.look(&path)?);
        let folder = match facts.kind {
            Kind::Directory => {
                let opened = login.home.below(path.relative());
                Some(opened.map_err(|error| refusal(&error))?)
            }
            _ => None,
        };
        Ok((path, folder, facts))
    }

    fn transfer_list(&mut self, text: &[u8], form: Form, only_folders: bool) -> Served<Replied> {
        let (path, folder, facts) = match self.found(text) {
            Ok((_, None, _)) if only_folders => {
                return Ok(Err(Refusal::new(501, "Not a directory: use MLST.")));
            }
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let data = match self.open_channel("Data connection for the list.")? {
            Ok(data) => data,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let moved = match folder {
            Some(folder) => self.write_list(&path, &folder, &form, Some(&data))?,
            None => {
                let mut entry = Vec::new();
                let form = match form {
                    // The path itself is the name.
                    Form::Names(_) => Form::Names(Vec::new()),
                    form => form,
                };
                form.write(&facts, now(), text, &mut entry);
                self.control.send_bytes(&data, &entry, 0)?
            }
        };
        drop(data);
        self.moved(moved)
    }

    /// `STAT path`: the list in the reply.
    pub(super) fn list_here(&mut self, text: &[u8]) -> Served<Replied> {
        let (path, folder, facts) = match self.found(text) {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let code = if folder.is_some() { 212 } else { 213 };
        let first = lines(code, "The list:", [""; 0], "End");
        // The first line, and below the last one.
        let end = first.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
        self.control.say(&first[..end])?;
        if let Some(folder) = folder {
            self.write_list(&path, &folder, &Form::Reply, None)?;
        } else {
            let mut entry = Vec::new();
            Form::Reply.write(&facts, now(), text, &mut entry);
            self.control.say(&entry)?;
        }
        Ok(Ok(line(code, "End")))
    }

    /// Writes the entries of a directory to `data`, or to the control connection.
    fn write_list(
        &mut self,
        path: &Path,
        folder: &Tree,
        form: &Form,
        data: Option<&TcpStream>,
    ) -> Served<Moved> {
        let (now, mut text) = (now(), Vec::with_capacity(FTP_BUFFER_SIZE));
        let mut sent = 0;
        let ended = folder.entries(|name| {
            let Some(facts) = self.entry(path, folder, name) else {
                return Ok(());
            };
            form.write(&facts, now, name, &mut text);
            // The next line is at most as long as a name and a few facts.
            if text.len() < FTP_BUFFER_SIZE / 2 {
                return Ok(());
            }
            let moved = self.send_list(data, &text, sent)?;
            sent += text.len() as u64;
            text.clear();
            match moved {
                Moved::All => Ok(()),
                moved => Err(Stop::Moved(moved)),
            }
        });
        match ended.and_then(|()| self.send_list(data, &text, sent)) {
            Ok(moved) | Err(Stop::Moved(moved)) => Ok(moved),
            Err(Stop::Ends(reason)) => Err(reason),
            Err(Stop::Failed(error)) => Ok(Moved::Refused(refusal(&error))),
        }
    }

    fn send_list(
        &mut self,
        data: Option<&TcpStream>,
        text: &[u8],
        before: u64,
    ) -> Result<Moved, Stop> {
        let sent = match data {
            Some(data) => self.control.send_bytes(data, text, before),
            None => self.control.say(text).map(|()| Moved::All),
        };
        sent.map_err(Stop::Ends)
    }

    /// What a list says of an entry; `None` leaves it out.
    fn entry(&self, path: &Path, folder: &Tree, name: &[u8]) -> Option<Facts> {
        if is_part(name) {
            return None;
        }
        let seen = folder.facts(name, false).ok()?;
        if !seen.is_symlink() {
            return Some(facts_of(&seen));
        }
        // From the home, which the link may leave no more than any path.
        let home = &self.login().ok()?.home;
        let seen = home.facts(path.child(name).relative(), true).ok()?;
        Some(facts_of(&seen))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
