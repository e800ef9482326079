//! Processes without a process: `Spawner` of the seam.
//!
//! A few programs do what their names say at once; any other name is not found, but for `held`,
//! which does nothing until the test plays it: it says, ends, or leaves somebody behind who keeps
//! its pipe. It refuses to know what the server makes of it. Invariants: a group is never signalled
//! and never reaped once its leader is reaped, for on Linux the number may be another's then; as on
//! Linux a pipe ends when nobody holds it, and a process that was not reaped stays; and however the
//! server ends, none that it has not told to die goes on without it.
//! posix_spawn(3), pipe(7), pidfd_open(2), waitid(2).

use std::collections::{BTreeMap, VecDeque};
use std::io;

use libc::{EAGAIN, ECHILD, ENOENT, ESRCH};
use mynah::kernel::{Child, Readiness, Sockets, Spawner};

use super::journal::{Argument, Name};
use super::table::{File, Socket};
use super::{Answer, Sim};

/// What a program does as soon as it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Says this and ends.
    Says(Vec<u8>),
    /// Says this and goes on.
    Stays(Vec<u8>),
}

/// What the program of these words does, or why it cannot be started.
pub fn program(words: &[String]) -> Result<Program, i32> {
    let rest = words.get(1..).unwrap_or_default().join(" ");
    match words.first().map_or("", String::as_str) {
        "echo" => Ok(Program::Says(format!("{rest}\n").into_bytes())),
        "true" => Ok(Program::Says(Vec::new())),
        "yes" => Ok(Program::Stays(b"y\n".repeat(100_000))),
        "held" | "sleep" => Ok(Program::Stays(Vec::new())),
        _ => Err(ENOENT),
    }
}

#[derive(Default)]
struct Process {
    /// Said and not read.
    said: VecDeque<u8>,
    /// Somebody of the group still holds the pipe.
    holds_pipe: bool,
    has_ended: bool,
    was_killed: bool,
    /// The numbers of its two descriptors.
    output: Option<u32>,
    exit: u32,
}

/// All that were started and not reaped.
#[derive(Default)]
pub(super) struct Processes {
    all: BTreeMap<u32, Process>,
    started: u32,
    /// Those that are killed take a while to die.
    is_slow: bool,
    dying: Vec<u32>,
}

impl Processes {
    pub(super) fn poll_output(&self, id: u32) -> Readiness {
        let Some(process) = self.all.get(&id) else {
            return Readiness::HUP;
        };
        match (process.said.is_empty(), process.holds_pipe) {
            (true, true) => Readiness::NONE,
            (false, true) => Readiness::IN,
            (false, false) => Readiness::IN | Readiness::HUP,
            (true, false) => Readiness::HUP,
        }
    }

    pub(super) fn poll_exit(&self, id: u32) -> Readiness {
        match self.all.get(&id) {
            Some(process) if !process.has_ended => Readiness::NONE,
            _ => Readiness::IN,
        }
    }

    /// The reading end of its pipe is closed.
    pub(super) fn let_go(&mut self, id: u32) {
        if let Some(process) = self.all.get_mut(&id) {
            process.output = None;
            process.said.clear();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let goes_on = |it: &&Process| !it.has_ended && !it.was_killed;
        let left = self.all.values().filter(goes_on).count();
        // A test that has failed may leave anything behind.
        let counts = !std::thread::panicking();
        assert!(left == 0 || !counts, "{left} processes go on without us");
    }
}

impl Sim {
    /// The processes that were not reaped, in the order in which they were started.
    pub fn processes(&self) -> Vec<u32> {
        self.children.all.keys().copied().collect()
    }

    /// Whether any was not reaped.
    pub fn has_processes(&self) -> bool {
        !self.children.all.is_empty()
    }

    /// Bytes that were said and not read, all together.
    pub fn unread_output(&self) -> usize {
        self.children.all.values().map(|it| it.said.len()).sum()
    }

    /// Whether it runs.
    pub fn is_running(&self, id: u32) -> bool {
        let process = self.children.all.get(&id);
        process.is_some_and(|process| !process.has_ended)
    }

    /// It says this.
    pub fn says(&mut self, id: u32, bytes: &[u8]) {
        if let Some(process) = self.children.all.get_mut(&id) {
            if process.output.is_some() {
                process.said.extend(bytes);
            }
        }
        self.wake_output(id);
    }

    /// It closes its end of the pipe and goes on.
    pub fn falls_silent(&mut self, id: u32) {
        if let Some(process) = self.children.all.get_mut(&id) {
            process.holds_pipe = false;
        }
        self.wake_output(id);
    }

    /// It ends; `leaving` somebody of its group behind who holds its pipe, or nobody.
    pub fn ends(&mut self, id: u32, leaving: bool) {
        let Some(process) = self.children.all.get_mut(&id) else {
            return;
        };
        process.has_ended = true;
        process.holds_pipe &= leaving;
        let exit = process.exit;
        self.table.wake(exit, Readiness::IN);
        self.wake_output(id);
    }

    /// From now on those that are killed die only when [`Sim::bury_the_killed`] says so.
    pub fn let_them_die_slowly(&mut self) {
        self.children.is_slow = true;
    }

    /// Those that were killed die now; `told` as Linux does, or without any report.
    pub fn bury_the_killed(&mut self, told: bool) {
        for id in std::mem::take(&mut self.children.dying) {
            if told {
                self.ends(id, false);
            } else if let Some(process) = self.children.all.get_mut(&id) {
                (process.has_ended, process.holds_pipe) = (true, false);
            }
        }
    }

    fn wake_output(&mut self, id: u32) {
        let process = self.children.all.get(&id);
        if let Some(number) = process.and_then(|process| process.output) {
            self.table.wake(number, Readiness::NONE);
        }
    }

    fn start(&mut self, command: &[String]) -> Answer<Child<Socket>> {
        self.enter(Name::Spawn)?;
        let does = program(command)?;
        let ceiling = self.ceiling();
        self.children.started += 1;
        let id = 1000 + self.children.started;
        let output = self.table.open(File::Output(id), ceiling)?;
        let exit = match self.table.open(File::Exit(id), ceiling) {
            Ok(exit) => exit,
            Err(errno) => {
                self.table.close(output);
                return Err(errno);
            }
        };
        let process = Process {
            holds_pipe: true,
            output: Some(output.number),
            exit: exit.number,
            ..Process::default()
        };
        self.children.all.insert(id, process);
        match does {
            Program::Says(bytes) => {
                self.says(id, &bytes);
                self.ends(id, false);
            }
            Program::Stays(bytes) => self.says(id, &bytes),
        }
        Ok(Child { output, exit, id })
    }

    fn read_pipe(&mut self, pipe: &Socket, space: &mut [u8]) -> Answer<usize> {
        self.enter(Name::ReadPipe)?;
        let File::Output(id) = *self.table.file(pipe.number) else {
            panic!("descriptor {} is no pipe", pipe.number);
        };
        let Some(process) = self.children.all.get_mut(&id) else {
            return Ok(0);
        };
        if process.said.is_empty() && process.holds_pipe {
            return Err(EAGAIN);
        }
        let mut count = space.len().min(process.said.len());
        if count > 1 && self.dice.chance(self.faults.short_read) {
            count = 1 + self.dice.below(count - 1);
        }
        let taken = process.said.drain(..count);
        let pairs = space.iter_mut().zip(taken);
        pairs.for_each(|(to, from)| *to = from);
        Ok(count)
    }

    fn kill_group(&mut self, id: u32) -> Answer<()> {
        if let Some(process) = self.children.all.get_mut(&id) {
            process.was_killed = true;
        }
        self.enter(Name::Kill)?;
        let known = self.children.all.contains_key(&id);
        assert!(known, "group {id} is gone: this might hit another's");
        if self.children.is_slow {
            self.children.dying.push(id);
        } else {
            self.ends(id, false);
        }
        if known { Ok(()) } else { Err(ESRCH) }
    }

    fn take_note(&mut self, exit: &Socket) -> Answer<bool> {
        self.enter(Name::Reap)?;
        let File::Exit(id) = *self.table.file(exit.number) else {
            panic!("descriptor {} is no pidfd", exit.number);
        };
        match self.children.all.get(&id) {
            None => Err(ECHILD),
            Some(process) if process.has_ended => {
                self.children.all.remove(&id);
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }
}

impl Spawner for Sim {
    type Command = Vec<String>;

    fn prepare(&mut self, line: &str) -> io::Result<Vec<String>> {
        Ok(mynah::kernel::words(line).map(str::to_owned).collect())
    }

    fn spawn(&mut self, command: &Vec<String>) -> io::Result<Child<Socket>> {
        let answer = self.start(command);
        self.leave(Name::Spawn, None, Argument::None, answer, |child| {
            child.id as usize
        })
    }

    fn take_output(&mut self, pipe: &Socket, space: &mut [u8]) -> io::Result<usize> {
        self.table.check(pipe);
        assert!(!space.is_empty(), "a read into no space looks like the end");
        let answer = self.read_pipe(pipe, space);
        let number = Some(pipe.number);
        self.leave(Name::ReadPipe, number, Argument::None, answer, |&count| {
            count
        })
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        let answer = self.kill_group(id);
        self.leave(Name::Kill, Some(id), Argument::None, answer, |()| 0)
    }

    fn reap(&mut self, exit: &Socket) -> io::Result<bool> {
        self.table.check(exit);
        let answer = self.take_note(exit);
        let number = Some(exit.number);
        self.leave(Name::Reap, number, Argument::None, answer, |&over| {
            usize::from(over)
        })
    }
}
