//! One session: its commands one after the other, and what it remembers between them.
//!
//! Every command gets exactly one final reply, and a transfer one preliminary reply before it. What
//! the kernel says against a path becomes a reply in one place, [`refusal`]. `ABOR` outside a
//! transfer has nothing to do. Neighbours: `control` waits, `login` knows the user, `upload` and
//! `lists` are the larger commands.

use std::fs::{File, Metadata};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::channel::{Channel, Opened, Progress, listen};
use super::control::{Control, Served};
use super::homes::modified;
use super::login::{Login, Outcome, log_in};
use super::site::Site;
use super::transfer::{Moved, UNREADABLE};
use crate::base::digest::{Algorithm, Sum, hex};
use crate::base::text::escape::escape;
use crate::base::text::utc::utc_digits;
use crate::kernel::{Time, errno, random};
use crate::limits::{
    FTP_ACTIVE_PORT_MIN, FTP_ASCII_SIZE_MAX, FTP_BUFFER_SIZE, FTP_PASSWORDS_MAX, FTP_REFUSAL_PAUSE,
};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::{
    COMMANDS, Command, Epsv, Next, Path, Refusal, Type, Wanted, line, lines, parse, quoted,
};
use crate::server::blocking::crew::lock;

pub(super) const DENIED: Refusal = Refusal::new(550, "Permission denied.");
pub(super) const NO_FILE: Refusal = Refusal::new(550, "No such file.");
pub(super) const NO_CHANNEL: Refusal = Refusal::new(425, "Use EPSV or PASV first.");
const NOT_LOGGED_IN: Refusal = Refusal::new(530, "Log in with USER and PASS.");
const NOT_THERE: Refusal = Refusal::new(504, "Only to the address of the client, from port 1024.");
const ONLY_EPSV: Refusal = Refusal::new(503, "Only EPSV, after EPSV ALL.");
const NO_PORT: Refusal = Refusal::new(425, "No port is free.");
const NO_LISTENER: Refusal = Refusal::new(425, "The server is short of descriptors or memory.");
const TOO_LARGE: Refusal = Refusal::new(550, "Too large to be counted: use TYPE I.");
const BAD_PATH: Refusal = Refusal::new(553, "This name is not allowed.");

/// What a command yields: its final reply, or the refusal.
pub(super) type Replied = Result<Vec<u8>, Refusal>;

/// One session.
pub(super) struct Session<'a> {
    pub(super) control: Control<'a>,
    pub(super) site: &'a Site,
    peer: IpAddr,
    own: SocketAddr,
    /// The name of the last `USER`.
    name: Option<Vec<u8>>,
    login: Option<Login<'a>>,
    wrong_passwords: u32,
    pub(super) folder: Path,
    pub(super) kind: Type,
    pub(super) channel: Channel,
    only_epsv: bool,
    /// The offset of `REST`, for the next transfer alone.
    pub(super) restart: u64,
    rename_from: Option<Path>,
    pub(super) wanted: Wanted,
    algorithm: Algorithm,
}

/// What is said in refusal of a path.
pub(super) fn refusal(error: &io::Error) -> Refusal {
    let (code, text) = match error.raw_os_error() {
        Some(errno::ENOENT) => (550, "No such file or directory."),
        Some(errno::EACCES | errno::EPERM) => (550, "Permission denied."),
        Some(errno::EROFS) => (550, "This place is read-only."),
        Some(errno::EEXIST) => (550, "This name exists already."),
        Some(errno::ENOTDIR) => (550, "Not a directory."),
        Some(errno::EISDIR) => (550, "Is a directory."),
        Some(errno::ENOTEMPTY) => (550, "The directory is not empty."),
        Some(errno::EXDEV | errno::ELOOP) => (550, "A link leads out of the home."),
        Some(errno::ENAMETOOLONG) => (553, "The name is too long."),
        Some(errno::EINVAL) => (553, "This name is not allowed."),
        Some(errno::ENOSPC | errno::EDQUOT) => (452, "The disk is full."),
        Some(errno::EMFILE | errno::ENFILE | errno::ENOMEM) => (450, "The server is short of it."),
        _ => (550, "The file system has refused it."),
    };
    Refusal::new(code, text)
}

impl<'a> Session<'a> {
    pub(super) fn new(
        site: &'a Site,
        stream: TcpStream,
        peer: SocketAddr,
        own: SocketAddr,
    ) -> Session<'a> {
        Session {
            control: Control::new(site, stream),
            site,
            peer: peer.ip().to_canonical(),
            own,
            name: None,
            login: None,
            wrong_passwords: 0,
            folder: Path::default(),
            kind: Type::Ascii,
            channel: Channel::None,
            only_epsv: false,
            restart: 0,
            rename_from: None,
            wanted: Wanted::default(),
            algorithm: Algorithm::Sha256,
        }
    }

    /// Serves the session to its end; returns why it has ended.
    pub(super) fn run(mut self) -> CloseReason {
        let reason = match self.serve() {
            Err(reason) => reason,
            Ok(never) => match never {},
        };
        // The home is released before the peer sees the end.
        self.login = None;
        match reason {
            CloseReason::Cut | CloseReason::Reset | CloseReason::Failed => {}
            _ => self.control.finish(),
        }
        reason
    }

    fn serve(&mut self) -> Served<std::convert::Infallible> {
        self.control.say(&line(220, "mynah serves FTP."))?;
        loop {
            let is_known = self.login.is_some();
            let text = match self.control.next_line(is_known)? {
                Next::Line(text) => text,
                _ => {
                    self.control.say(&line(500, "The line is too long."))?;
                    continue;
                }
            };
            let reply = match parse(&text) {
                Ok(command) => self.execute(command)?,
                Err(refusal) => Err(refusal),
            };
            let reply = reply.unwrap_or_else(|why| line(why.code, why.text));
            self.control.say(&reply)?;
        }
    }

    fn execute(&mut self, command: Command<'_>) -> Served<Replied> {
        // RNFR is for the command behind it. REST is for the next transfer: clients open its data
        // connection between the two.
        let rename_from = self.rename_from.take();
        let restart = match is_transfer(&command) {
            true => std::mem::take(&mut self.restart),
            false => 0,
        };
        Ok(match command {
            Command::User(name) => {
                self.log_out();
                self.name = Some(name.to_vec());
                Ok(line(331, "Send the password."))
            }
            Command::Pass(password) => return self.pass(password),
            Command::Quit => {
                self.control.say(&line(221, "Goodbye."))?;
                return Err(CloseReason::Goodbye);
            }
            Command::Noop => Ok(line(200, "Nothing done.")),
            Command::Syst => Ok(line(215, "UNIX Type: L8")),
            Command::Feat => Ok(self.features()),
            Command::Help(name) => help(name),
            Command::OptsUtf8 => Ok(line(200, "Names are UTF-8.")),
            Command::OptsMlst(facts) => {
                self.wanted = Wanted::parse(facts);
                Ok(line(200, format!("MLST OPTS {}", self.wanted.list())))
            }
            Command::OptsHash(name) => self.choose_hash(name),
            _ if self.login.is_none() => Err(NOT_LOGGED_IN),
            Command::Stat([]) => Ok(self.state()),
            Command::Abor => {
                // Also from a client that has opened a data connection and now changes its mind.
                self.channel = Channel::None;
                Ok(line(226, "No transfer was under way."))
            }
            Command::Type(kind) => {
                self.kind = kind;
                Ok(line(200, "The type is set."))
            }
            Command::Mode => Ok(line(200, "The mode is stream.")),
            Command::Stru => Ok(line(200, "The structure is file.")),
            Command::Pasv => self.pasv(),
            Command::Epsv(wanted) => self.epsv(wanted),
            Command::Port(ip, port) => self.active(Ipv4Addr::from(ip).into(), port),
            Command::Eprt(asked) => match (asked.family, asked.address.parse::<IpAddr>()) {
                (1 | 2, Ok(ip)) if ip.is_ipv4() == (asked.family == 1) => {
                    self.active(ip, asked.port)
                }
                (1 | 2, _) => Err(Refusal::SYNTAX),
                _ => Err(Refusal::new(522, "Use (1,2).")),
            },
            Command::Rest(offset) => {
                self.restart = offset;
                Ok(line(350, "The next transfer begins there."))
            }
            Command::Allo(size) => self.allo(size),
            Command::Pwd => {
                let path = quoted(&self.folder.absolute());
                Ok(line(257, [&path[..], b" is the directory."].concat()))
            }
            Command::Cwd(path) => self.change_folder(path),
            Command::Cdup => self.change_folder(b".."),
            Command::Mkd(path) => self.make_folder(path),
            Command::Rmd(path) => self.remove_folder(path),
            Command::Dele(path) => self.delete(path),
            Command::Rnfr(path) => self.begin_rename(path),
            Command::Rnto(path) => self.rename(rename_from, path),
            Command::Size(path) => self.size(path)?,
            Command::Mdtm(path) => self.modified(path),
            Command::Hash(path) => self.hash(path)?,
            Command::Retr(path) => self.retrieve(path, restart)?,
            Command::Stor(path) => self.store(path, restart)?,
            Command::Appe(path) => self.append(path)?,
            Command::List(path) => self.list(path)?,
            Command::Nlst(path) => self.names(path)?,
            Command::Mlsd(path) => self.facts_of_all(path)?,
            Command::Mlst(path) => self.facts_of_one(path),
            Command::Stat(path) => self.list_here(path)?,
        })
    }

    fn log_out(&mut self) {
        if self.login.take().is_some() {
            self.control.forget_user();
        }
        self.name = None;
        self.restart = 0;
        self.folder = Path::default();
        self.channel = Channel::None;
    }

    fn pass(&mut self, password: &[u8]) -> Served<Replied> {
        let Some(name) = self.name.take() else {
            return Ok(Err(Refusal::new(503, "Send the name first, with USER.")));
        };
        match log_in(self.site, &name, password)? {
            Outcome::Yes(login) => {
                self.login = Some(login);
                return Ok(Ok(line(230, "Logged in.")));
            }
            Outcome::NoHome(error) => {
                let name = escape(&String::from_utf8_lossy(&name));
                log::warn!("ftp: the home of user {name} cannot be used: {error}");
                return Ok(Err(Refusal::new(530, "The home cannot be used.")));
            }
            Outcome::Wrong => {}
        }
        self.wrong_passwords += 1;
        const WRONG: Refusal = Refusal::new(530, "The name or the password is wrong.");
        if self.wrong_passwords < FTP_PASSWORDS_MAX {
            return Ok(Err(WRONG));
        }
        let now = Time::from_nanos(self.site.started.elapsed().as_nanos() as u64);
        if let Some(suppressed) = lock(&self.site.refusals).admit(now) {
            let (peer, count) = (self.peer, self.wrong_passwords);
            log::warn!("ftp: {peer} is closed after {count} wrong passwords{suppressed}");
        }
        if self.site.pause(FTP_REFUSAL_PAUSE) {
            return Err(CloseReason::Cut);
        }
        self.control.say(&line(WRONG.code, WRONG.text))?;
        Err(CloseReason::Unauthorised)
    }

    fn features(&self) -> Vec<u8> {
        let mark = |algorithm| if self.algorithm == algorithm { "*" } else { "" };
        let (sha256, md5) = (mark(Algorithm::Sha256), mark(Algorithm::Md5));
        let features = [
            "EPRT".to_owned(),
            "EPSV".to_owned(),
            format!("HASH SHA-256{sha256};MD5{md5}"),
            "MDTM".to_owned(),
            format!("MLST {}", self.wanted.feature()),
            "PASV".to_owned(),
            "REST STREAM".to_owned(),
            "SIZE".to_owned(),
            "TVFS".to_owned(),
            "UTF8".to_owned(),
        ];
        lines(211, "Features:", features, "End")
    }

    fn choose_hash(&mut self, name: &[u8]) -> Replied {
        self.algorithm = match name.to_ascii_uppercase().as_slice() {
            b"" => self.algorithm,
            b"SHA-256" => Algorithm::Sha256,
            b"MD5" => Algorithm::Md5,
            _ => return Err(Refusal::new(504, "Only SHA-256 and MD5.")),
        };
        Ok(line(200, self.hash_name()))
    }

    fn hash_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Md5 => "MD5",
            _ => "SHA-256",
        }
    }

    fn state(&self) -> Vec<u8> {
        let kind = match self.kind {
            Type::Ascii => "TYPE: ASCII",
            Type::Image => "TYPE: Image",
        };
        let next = match self.channel {
            Channel::None => "No data connection is prepared.",
            Channel::Passive(_) => "The client opens the next data connection.",
            Channel::Active(_) => "The server opens the next data connection.",
        };
        let facts = [kind, "MODE: Stream", "STRU: File", next];
        lines(211, "mynah serves FTP.", facts, "End")
    }

    fn pasv(&mut self) -> Replied {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        let IpAddr::V4(ip) = self.own.ip().to_canonical() else {
            return Err(Refusal::new(425, "This is IPv6: use EPSV."));
        };
        let port = self.listen()?;
        let [a, b, c, d] = ip.octets();
        let (high, low) = (port >> 8, port & 255);
        let text = format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low}).");
        Ok(line(227, text))
    }

    fn epsv(&mut self, wanted: Epsv) -> Replied {
        match (wanted, self.own.ip().to_canonical().is_ipv4()) {
            (Epsv::All, _) => {
                self.only_epsv = true;
                return Ok(line(200, "Only EPSV from now on."));
            }
            (Epsv::Any, _) | (Epsv::Family(1), true) | (Epsv::Family(2), false) => {}
            (_, true) => return Err(Refusal::new(522, "Use (1).")),
            (_, false) => return Err(Refusal::new(522, "Use (2).")),
        }
        let port = self.listen()?;
        let text = format!("Entering Extended Passive Mode (|||{port}|)");
        Ok(line(229, text))
    }

    /// Opens a listener for the next data connection; returns its port.
    fn listen(&mut self) -> Result<u16, Refusal> {
        // The one before is closed, and with it a connection that waits there.
        self.channel = Channel::None;
        let mut start = [0; 32];
        // Without random bytes the first free port is taken.
        let _ = random(&mut start);
        let start = u16::from_ne_bytes([start[0], start[1]]);
        let opened = listen(self.own, self.site.place.data_ports.clone(), start);
        let listener = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => NO_PORT,
            _ => NO_LISTENER,
        })?;
        let port = listener.local_addr().map(|address| address.port());
        self.channel = Channel::Passive(listener);
        port.map_err(|_| NO_LISTENER)
    }

    fn active(&mut self, ip: IpAddr, port: u16) -> Replied {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        if ip.to_canonical() != self.peer || port < FTP_ACTIVE_PORT_MIN {
            return Err(NOT_THERE);
        }
        // A socket of IPv6 reaches IPv4 by its mapped address, and a link by its scope.
        let mut to = SocketAddr::new(self.peer, port);
        if let (SocketAddr::V6(own), SocketAddr::V4(v4)) = (self.own, to) {
            let mapped = v4.ip().to_ipv6_mapped();
            to = std::net::SocketAddrV6::new(mapped, port, 0, own.scope_id()).into();
        } else if let (SocketAddr::V6(own), SocketAddr::V6(v6)) = (self.own, &mut to) {
            v6.set_scope_id(own.scope_id());
        }
        self.channel = Channel::Active(to);
        Ok(line(200, "The next data connection goes there."))
    }

    fn allo(&mut self, size: u64) -> Replied {
        let login = self.login()?;
        let (homes, user) = (&self.site.homes, &login.user);
        match homes.has_room(&user.home, user.quota, size, 0) {
            true => Ok(line(200, "There is room.")),
            false => Err(super::upload::QUOTA),
        }
    }

    /// The user. Every command that needs one is behind the check in `execute`.
    pub(super) fn login(&self) -> Result<&Login<'a>, Refusal> {
        self.login.as_ref().ok_or(NOT_LOGGED_IN)
    }

    /// A path of the client.
    pub(super) fn path(&self, text: &[u8]) -> Result<Path, Refusal> {
        self.folder.join(text).ok_or(BAD_PATH)
    }

    /// What is known of the object of a path.
    pub(super) fn look(&self, path: &Path) -> Result<Metadata, Refusal> {
        let facts = self.login()?.home.facts(path.relative(), true);
        facts.map_err(|error| refusal(&error))
    }

    fn change_folder(&mut self, path: &[u8]) -> Replied {
        let path = self.path(path)?;
        let opened = self.login()?.home.below(path.relative());
        opened.map_err(|error| refusal(&error))?;
        self.folder = path;
        Ok(line(250, "The directory is changed."))
    }

    fn make_folder(&mut self, path: &[u8]) -> Replied {
        let (login, path) = (self.login()?, self.path(path)?);
        if !login.user.rights.write {
            return Err(DENIED);
        }
        if path.is_root() {
            return Err(refusal(&io::Error::from_raw_os_error(errno::EEXIST)));
        }
        let made = login.home.make_directory(path.relative());
        made.map_err(|error| refusal(&error))?;
        let text = [quoted(&path.absolute()), b" is created.".to_vec()].concat();
        Ok(line(257, text))
    }

    fn remove_folder(&mut self, path: &[u8]) -> Replied {
        let (login, path) = (self.login()?, self.path(path)?);
        if !login.user.rights.delete || path.is_root() {
            return Err(DENIED);
        }
        let (homes, home) = (&self.site.homes, &login.user.home);
        let removed = homes.remove_directory(&login.home, home, &path);
        removed.map_err(|error| refusal(&error))?;
        Ok(line(250, "The directory is removed."))
    }

    fn delete(&mut self, path: &[u8]) -> Replied {
        let (login, path) = (self.login()?, self.path(path)?);
        if !login.user.rights.delete {
            return Err(DENIED);
        }
        let turn = self.site.homes.turn(&login.user.home);
        let _turn = turn.wait();
        let seen = match login.home.facts(path.relative(), false) {
            Ok(seen) => seen,
            // SIZE tells of an unfinished upload under its name, so this name can be deleted.
            Err(_) if self.remove_part_of(&path)? => {
                return Ok(line(250, "The upload is deleted."));
            }
            Err(error) => return Err(refusal(&error)),
        };
        if seen.is_dir() {
            return Err(refusal(&io::Error::from_raw_os_error(errno::EISDIR)));
        }
        let removed = login.home.remove_file(path.relative());
        removed.map_err(|error| refusal(&error))?;
        if seen.is_file() {
            self.site.homes.refund(&login.user.home, seen.len());
        }
        Ok(line(250, "The file is deleted."))
    }

    fn begin_rename(&mut self, path: &[u8]) -> Replied {
        let (login, path) = (self.login()?, self.path(path)?);
        if !login.user.rights.write || path.is_root() {
            return Err(DENIED);
        }
        let seen = login.home.facts(path.relative(), false);
        seen.map_err(|error| refusal(&error))?;
        self.rename_from = Some(path);
        Ok(line(350, "Send the new name."))
    }

    fn rename(&mut self, from: Option<Path>, to: &[u8]) -> Replied {
        let from = from.ok_or(Refusal::new(503, "Send the old name first, with RNFR."))?;
        let (login, to) = (self.login()?, self.path(to)?);
        if !login.user.rights.write || to.is_root() {
            return Err(DENIED);
        }
        let turn = self.site.homes.turn(&login.user.home);
        let _turn = turn.wait();
        let home = &login.home;
        let replaced = home
            .facts(to.relative(), false)
            .ok()
            .filter(Metadata::is_file);
        let moved = home
            .facts(from.relative(), false)
            .map_err(|error| refusal(&error))?;
        home.rename(from.relative(), to.relative())
            .map_err(|error| refusal(&error))?;
        // Two names of one file, or the same name: nothing was replaced.
        if let Some(replaced) = replaced.filter(|it| it.ino() != moved.ino()) {
            self.site.homes.refund(&login.user.home, replaced.len());
        }
        Ok(line(250, "The name is changed."))
    }

    fn modified(&mut self, path: &[u8]) -> Replied {
        let seen = self.look(&self.path(path)?)?;
        if !seen.is_file() {
            return Err(NO_FILE);
        }
        Ok(line(213, utc_digits(modified(&seen))))
    }

    /// The size of a file as it is transferred in the current type, or of an unfinished upload.
    fn size(&mut self, path: &[u8]) -> Served<Replied> {
        let file = match self.file_or_part(path) {
            Ok(file) => file,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let size = match file.metadata() {
            Ok(facts) => facts.len(),
            Err(error) => return Ok(Err(refusal(&error))),
        };
        if self.kind == Type::Image {
            return Ok(Ok(line(213, size.to_string())));
        }
        if !is_countable(size) {
            return Ok(Err(TOO_LARGE));
        }
        let mut added = 0;
        let read = self.read_all(&file, size, |piece| {
            added += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        })?;
        Ok(read.map(|()| line(213, (size + added).to_string())))
    }

    fn file_or_part(&self, path: &[u8]) -> Result<File, Refusal> {
        let path = self.path(path)?;
        match self.open_file(&path) {
            Err(refusal) if refusal.code == 550 => match self.part_of(&path)? {
                Some(part) => Ok(part),
                None => Err(refusal),
            },
            file => file,
        }
    }

    /// Opens a regular file for reading.
    fn open_file(&self, path: &Path) -> Result<File, Refusal> {
        let file = self.login()?.home.read(path.relative());
        let file = file.map_err(|error| refusal(&error))?;
        match file.metadata() {
            Ok(facts) if facts.is_file() => Ok(file),
            Ok(_) => Err(Refusal::new(550, "Not a file.")),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// Opens a regular file for a user that may read; returns its size as well.
    fn open_readable(&self, path: &[u8]) -> Result<(File, u64), Refusal> {
        if !self.login()?.user.rights.read {
            return Err(DENIED);
        }
        let file = self.open_file(&self.path(path)?)?;
        let facts = file.metadata().map_err(|error| refusal(&error))?;
        Ok((file, facts.len()))
    }

    /// Passes the first `size` bytes of `file` to `take`, while the control connection is watched.
    pub(super) fn read_all(
        &mut self,
        file: &File,
        size: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Served<Result<(), Refusal>> {
        let (mut space, mut at) = (vec![0; FTP_BUFFER_SIZE], 0);
        while at < size {
            if self.control.look_up(Progress { moved: at })? {
                self.control.say(&line(426, "Aborted."))?;
                return Ok(Err(Refusal::new(226, "The command was aborted.")));
            }
            let room = usize::try_from(size - at).map_or(space.len(), |it| it.min(space.len()));
            match file.read_at(&mut space[..room], at) {
                Ok(0) => return Ok(Err(UNREADABLE)),
                Ok(count) => {
                    take(&space[..count]);
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Err(UNREADABLE)),
            }
        }
        Ok(Ok(()))
    }

    fn hash(&mut self, text: &[u8]) -> Served<Replied> {
        let (file, size) = match self.open_readable(text) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut sum = Sum::new(self.algorithm, None);
        let read = self.read_all(&file, size, |piece| sum.add(piece))?;
        Ok(read.map(|()| {
            let (name, last) = (self.hash_name(), size.saturating_sub(1));
            let digest = hex(&sum.finish());
            let reply = format!("{name} 0-{last} {digest} ");
            line(213, [reply.as_bytes(), text].concat())
        }))
    }

    fn retrieve(&mut self, path: &[u8], restart: u64) -> Served<Replied> {
        let (file, size) = match self.open_readable(path) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // An offset of TYPE A counts the bytes on the wire, so its end is found by sending.
        if self.kind == Type::Image && restart > size {
            return Ok(Err(Refusal::new(554, "The offset is behind the end.")));
        }
        let what = match self.kind {
            Type::Image => format!("Data connection for the file ({} bytes).", size - restart),
            Type::Ascii => "Data connection for the file.".to_owned(),
        };
        let data = match self.open_channel(&what)? {
            Ok(data) => data,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let moved = match self.kind {
            Type::Image => self.control.send_image(&data, &file, restart, size)?,
            Type::Ascii => self.control.send_ascii(&data, &file, restart, size)?,
        };
        drop(data);
        self.moved(moved)
    }

    /// Opens the data connection behind its preliminary reply.
    pub(super) fn open_channel(&mut self, what: &str) -> Served<Result<TcpStream, Refusal>> {
        let channel = std::mem::take(&mut self.channel);
        if matches!(channel, Channel::None) {
            return Ok(Err(NO_CHANNEL));
        }
        self.control.say(&line(150, what))?;
        Ok(match self.control.open(channel, self.peer, self.own)? {
            Opened::Yes(data) => Ok(data),
            Opened::No(why) => Err(Refusal::new(425, why)),
            Opened::Aborted => {
                self.control.say(&line(426, "The transfer was aborted."))?;
                Err(Refusal::new(226, "The transfer was aborted."))
            }
        })
    }

    /// The reply to a transfer.
    pub(super) fn moved(&mut self, moved: Moved) -> Served<Replied> {
        Ok(match moved {
            Moved::All => Ok(line(226, "The transfer is complete.")),
            Moved::Aborted => {
                self.control.say(&line(426, "The transfer was aborted."))?;
                Ok(line(226, "The abort is complete."))
            }
            Moved::Late => Err(Refusal::new(
                426,
                "The data connection stood still too long.",
            )),
            Moved::Lost => Err(Refusal::new(426, "The data connection was lost.")),
            Moved::Refused(refusal) => Err(refusal),
        })
    }
}

/// Whether the ends of lines in a file of so many bytes are counted for its size in TYPE A.
fn is_countable(size: u64) -> bool {
    size <= FTP_ASCII_SIZE_MAX
}

/// Whether a command moves something over the data connection.
fn is_transfer(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Retr(_)
            | Command::Stor(_)
            | Command::Appe(_)
            | Command::List(_)
            | Command::Nlst(_)
            | Command::Mlsd(_)
    )
}

fn help(name: &[u8]) -> Replied {
    let known = |row: &&(&str, &str)| row.0.as_bytes().eq_ignore_ascii_case(name);
    if let Some((name, syntax)) = COMMANDS.iter().find(known) {
        return Ok(line(214, format!("Syntax: {name} {syntax}").trim_end()));
    }
    if !name.is_empty() {
        return Err(Refusal::new(502, "This command is not known."));
    }
    let names: Vec<&str> = COMMANDS.iter().map(|row| row.0).collect();
    let rows: Vec<String> = names.chunks(8).map(|row| row.join(" ")).collect();
    Ok(lines(
        214,
        "The commands:",
        rows,
        "HELP name tells the syntax.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_large_file_are_not_counted() {
        assert!(is_countable(FTP_ASCII_SIZE_MAX - 1));
        assert!(is_countable(FTP_ASCII_SIZE_MAX));
        assert!(!is_countable(FTP_ASCII_SIZE_MAX + 1));
    }
}
