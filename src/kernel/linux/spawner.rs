//! Programs that run beside the loop: which file a line names, and the calls of [`Spawner`].
//!
//! A line is split at its blanks, once, and its first word is looked up, once: a name in
//! [`SEARCHED`], whatever `PATH` says, or an absolute path. There is no shell, so no other byte has
//! a special meaning. A program that is not found is no error here; each attempt to start it fails.
//!
//! A new process has copies of all our descriptors until its execve(2), which resumes this process
//! before it closes the copies. A descriptor that this process closes in between stays registered a
//! little longer. Events that epoll reports for it carry an old generation. Measured with commands
//! from sixteen connections: one in twenty to eighty.
//!
//! SIGCHLD is blocked and read from a signalfd, until the signalfd is empty: the signal only says
//! that some child has ended. Man pages: environ(7), clone(2), execve(2), signalfd(2).

use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Linux, Socket};
use crate::kernel::{Child, Spawner, errno};
use crate::sys::process::{child, signal, spawn};

/// Directories for a program without a slash in its name: those of a usual login. The environment
/// of this process cannot change them.
const SEARCHED: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// A prepared command line.
pub struct Command {
    /// The path of the program, if it was found.
    path: Option<CString>,
    words: Vec<CString>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path:?}, {:?}", self.words),
            None => write!(f, "not found, {:?}", self.words),
        }
    }
}

impl Command {
    /// What [`Spawner::prepare`] does.
    pub(in crate::kernel) fn prepare(line: &str) -> io::Result<Command> {
        let path = find_program(line).map(|path| c_string(path.as_os_str()));
        let words = words(line).map(|word| c_string(OsStr::new(word)));
        Ok(Command {
            path: path.transpose()?,
            words: words.collect::<io::Result<_>>()?,
        })
    }

    /// What [`Spawner::spawn`] does.
    pub(in crate::kernel) fn start(&self) -> io::Result<Child<Socket>> {
        let Some(path) = &self.path else {
            return Err(io::Error::from_raw_os_error(errno::ENOENT));
        };
        let started = spawn::start(path, &self.words)?;
        Ok(Child {
            output: started.output.into(),
            exit: started.exit.into(),
            id: started.id,
        })
    }
}

/// The words of a line.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').filter(|word| !word.is_empty())
}

/// The program that the first word of `line` names.
pub fn find_program(line: &str) -> Option<PathBuf> {
    let name = words(line).next()?;
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if name.starts_with('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    // Any other name with a slash would select a file in another directory.
    let mut places = SEARCHED.iter().filter(|_| !name.contains('/'));
    places
        .find_map(|folder| Some(Path::new(folder).join(name)).filter(is_program))
        .filter(|_| name != "." && name != "..")
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

impl Spawner for Linux {
    type Command = Command;

    fn supervise(&mut self) -> io::Result<()> {
        spawn::prepare()?;
        spawn::try_out()?;
        if self.signals.is_none() {
            return Ok(());
        }
        self.watch_children()
    }

    fn prepare(&mut self, line: &str) -> io::Result<Command> {
        Command::prepare(line)
    }

    fn spawn(&mut self, command: &Command) -> io::Result<Child<Socket>> {
        command.start()
    }

    fn take_output(&mut self, pipe: &Socket, space: &mut [u8]) -> io::Result<usize> {
        spawn::read(pipe.as_fd(), space)
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        child::end_group(id, child::Ending::Forced)
    }

    fn reap(&mut self, exit: &Socket) -> io::Result<bool> {
        spawn::reap(exit.as_fd())
    }

    fn has_ended(&mut self, exit: &Socket) -> io::Result<bool> {
        spawn::has_ended(exit.as_fd())
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        let Some(descriptor) = &self.ended_children else {
            return Ok(());
        };
        // Pending signals of one number are merged into one, so this loop ends.
        loop {
            match signal::take(descriptor.as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        match &self.ended_children {
            Some(_) => child::ended(),
            None => Ok(None),
        }
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        child::reap(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{ChildEnd, Event, Interest, Poller, Time, Token};

    #[test]
    fn a_name_is_found_in_fixed_places_and_a_path_is_taken_as_it_stands() {
        let echo = find_program("echo a b").expect("a program");
        assert!(echo.is_absolute() && echo.ends_with("echo"));
        assert_eq!(find_program("/bin/sh"), Some(PathBuf::from("/bin/sh")));
        for line in [
            "",
            " ",
            "mynah-nowhere",
            "/bin/nowhere",
            "/bin",
            "../bin/echo",
            "bin/echo",
            "./echo",
            "..",
            ".",
        ] {
            assert_eq!(find_program(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_line_is_cut_at_blanks_and_nothing_else() {
        let cut: Vec<&str> = words(" ls  -l 'a b' $x;\t*").collect();
        assert_eq!(cut, ["ls", "-l", "'a", "b'", "$x;\t*"]);
    }

    #[test]
    fn output_and_end_are_reported_under_their_tokens() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let command = linux.prepare("echo hello")?;
        let child = linux.spawn(&command)?;
        let tokens = [ChildEnd::Output, ChildEnd::Exit].map(|end| Token::child(3, 1, end));
        linux.register(&child.output, tokens[0], Interest::READ)?;
        linux.register(&child.exit, tokens[1], Interest::READ | Interest::EDGE)?;
        let (mut said, mut ended, mut events) = (Vec::new(), false, [Event::default(); 4]);
        while !ended || said != b"hello\n" {
            let count = linux.wait(&mut events, Time::NEVER)?;
            for event in &events[..count] {
                match event.token() {
                    token if token == tokens[0] => {
                        let mut space = [0; 16];
                        let count = linux.take_output(&child.output, &mut space)?;
                        said.extend_from_slice(&space[..count]);
                    }
                    token if token == tokens[1] => ended = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        linux.kill(child.id)?;
        assert!(linux.reap(&child.exit)?);
        Ok(())
    }

    #[test]
    fn the_end_of_a_program_is_seen_before_it_is_reaped() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let command = linux.prepare("true")?;
        let child = linux.spawn(&command)?;
        while !linux.has_ended(&child.exit)? {
            std::thread::yield_now();
        }
        assert!(linux.has_ended(&child.exit)?, "it stays so");
        assert!(linux.reap(&child.exit)?);
        let gone = linux.has_ended(&child.exit);
        let gone = gone.map_err(|error| error.raw_os_error());
        assert_eq!(gone, Err(Some(errno::ECHILD)));
        Ok(())
    }

    #[test]
    fn a_poller_without_signals_has_no_orphans() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        assert_eq!(linux.ended_child()?, None);
        linux.take_child_report()
    }

    #[test]
    fn a_program_that_was_not_found_cannot_be_started() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let command = linux.prepare("mynah-nowhere")?;
        let refused = linux.spawn(&command).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(io::ErrorKind::NotFound));
        Ok(())
    }
}
