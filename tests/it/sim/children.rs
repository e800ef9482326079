//! Simulated processes: `Spawner` of the kernel interface.
//!
//! `echo`, `true` and `yes` act as soon as they start. `held` and `sleep` do nothing until the test
//! plays them: they write, end, or leave a process behind that keeps the pipe open. Any other name
//! fails with ENOENT. What the server does with the output is not known here. Invariants, as on
//! Linux:
//!
//! - A process group is neither signalled nor reaped after its leader was reaped, because another
//!   process may have the number by then.
//! - A pipe ends when no process holds it. An unreaped process stays.
//! - Ended children are offered in the order in which they became children. One SIGCHLD stands for
//!   any number of them.
//! - After a failed start, no program has run.
//! - However the server ends, no process outlives it unless the server has killed it or it is an
//!   orphan.
//!
//! clone(2), pipe(7), waitid(2), signalfd(2).

use std::collections::{BTreeMap, VecDeque};
use std::io;

use libc::{EAGAIN, ECHILD, ENOENT, ESRCH};
use mynah::kernel::journal::{Argument, Name};
use mynah::kernel::{Child, Readiness, Sockets, Spawner};

use super::table::{File, Socket};
use super::{Answer, Sim};

/// What a program does as soon as it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Writes these bytes and exits.
    Says(Vec<u8>),
    /// Writes these bytes and keeps running.
    Stays(Vec<u8>),
}

/// The program for these words, or the errno of its start.
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
    /// Written and not yet read.
    said: VecDeque<u8>,
    /// A process of the group still holds the pipe.
    holds_pipe: bool,
    has_ended: bool,
    was_killed: bool,
    /// The server did not start it.
    is_orphan: bool,
    /// The numbers of its two descriptors.
    output: Option<u32>,
    exit: u32,
}

/// All processes that were started and not reaped.
#[derive(Default)]
pub(super) struct Processes {
    all: BTreeMap<u32, Process>,
    started: u32,
    /// Killed processes take a while to die.
    is_slow: bool,
    dying: Vec<u32>,
    /// The server is a child subreaper (prctl(2)).
    is_subreaper: bool,
    /// SIGCHLD is pending.
    has_news: bool,
    /// Programs that have run, ended ones included.
    ran: u64,
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

    /// Whether the end of a child is to be reported.
    pub(super) fn reports(&self) -> bool {
        self.is_subreaper && self.has_news
    }

    /// The read end of its pipe is closed.
    pub(super) fn let_go(&mut self, id: u32) {
        if let Some(process) = self.all.get_mut(&id) {
            process.output = None;
            process.said.clear();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let goes_on = |it: &&Process| !it.has_ended && !it.was_killed && !it.is_orphan;
        let left = self.all.values().filter(goes_on).count();
        // A failed test may leave processes behind.
        let counts = !std::thread::panicking();
        assert!(left == 0 || !counts, "{left} processes go on without us");
    }
}

impl Sim {
    /// The processes that were not reaped, in the order in which they were started.
    pub fn processes(&self) -> Vec<u32> {
        self.children.all.keys().copied().collect()
    }

    /// How many programs have run so far.
    pub fn programs_run(&self) -> u64 {
        self.children.ran
    }

    /// A process becomes a child of the server because its own parent has ended. It holds no pipe.
    pub fn adopts(&mut self) -> u32 {
        let orphan = Process {
            is_orphan: true,
            ..Process::default()
        };
        self.children.started += 1;
        let id = 1000 + self.children.started;
        self.children.all.insert(id, orphan);
        id
    }

    /// All running orphans end.
    pub fn end_orphans(&mut self) {
        let all = self.children.all.iter();
        let run = all.filter(|(_, process)| process.is_orphan && !process.has_ended);
        let run: Vec<u32> = run.map(|(id, _)| *id).collect();
        run.into_iter().for_each(|id| self.ends(id, false));
    }

    /// Whether a process that the server started is not yet reaped.
    pub fn has_processes(&self) -> bool {
        self.children.all.values().any(|process| !process.is_orphan)
    }

    /// Bytes that all processes together have written and the server has not read.
    pub fn unread_output(&self) -> usize {
        self.children.all.values().map(|it| it.said.len()).sum()
    }

    /// Whether the process runs.
    pub fn is_running(&self, id: u32) -> bool {
        let process = self.children.all.get(&id);
        process.is_some_and(|process| !process.has_ended)
    }

    /// The process writes these bytes.
    pub fn says(&mut self, id: u32, bytes: &[u8]) {
        if let Some(process) = self.children.all.get_mut(&id) {
            if process.output.is_some() {
                process.said.extend(bytes);
            }
        }
        self.wake_output(id);
    }

    /// The process closes its end of the pipe and keeps running.
    pub fn falls_silent(&mut self, id: u32) {
        if let Some(process) = self.children.all.get_mut(&id) {
            process.holds_pipe = false;
        }
        self.wake_output(id);
    }

    /// The process ends. With `leaving`, another process of its group stays and holds its pipe.
    pub fn ends(&mut self, id: u32, leaving: bool) {
        let Some(process) = self.children.all.get_mut(&id) else {
            return;
        };
        process.has_ended = true;
        process.holds_pipe &= leaving;
        let (exit, is_orphan) = (process.exit, process.is_orphan);
        self.children.has_news = true;
        if !is_orphan {
            self.table.wake(exit, Readiness::IN);
            self.wake_output(id);
        }
    }

    /// From now on, killed processes die only when [`Sim::bury_the_killed`] is called.
    pub fn let_them_die_slowly(&mut self) {
        self.children.is_slow = true;
    }

    /// Killed processes die now. With `told`, SIGCHLD and the pidfd report it as on Linux;
    /// otherwise nothing reports it.
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
        let ceiling = self.ceiling();
        let id = 1001 + self.children.started;
        let output = self.table.open(File::Output(id), ceiling)?;
        // The pidfd is created with the process: either both exist or neither.
        let exit = self.enter(Name::Spawn);
        let exit = match exit.and_then(|()| self.table.open(File::Exit(id), ceiling)) {
            Ok(exit) => exit,
            Err(errno) => {
                self.table.close(output);
                return Err(errno);
            }
        };
        self.children.started += 1;
        let does = match program(command) {
            Ok(does) => does,
            // The process existed and ended before it executed the program.
            Err(errno) => {
                self.table.close(output);
                self.table.close(exit);
                self.children.has_news = true;
                return Err(errno);
            }
        };
        self.children.ran += 1;
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
        self.enter(Name::TakeOutput)?;
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

    fn look_at_end(&mut self, exit: &Socket) -> Answer<bool> {
        self.enter(Name::HasEnded)?;
        let File::Exit(id) = *self.table.file(exit.number) else {
            panic!("descriptor {} is no pidfd", exit.number);
        };
        let process = self.children.all.get(&id).ok_or(ECHILD)?;
        Ok(process.has_ended)
    }

    fn first_ended(&mut self) -> Answer<Option<u32>> {
        self.enter(Name::EndedChild)?;
        let mut all = self.children.all.iter();
        let ended = all.find(|(_, process)| process.has_ended);
        Ok(ended.map(|(id, _)| *id))
    }

    fn bury_orphan(&mut self, id: u32) -> Answer<()> {
        self.enter(Name::ReapOrphan)?;
        let process = self.children.all.get(&id).ok_or(ECHILD)?;
        assert!(process.is_orphan, "{id} was started here");
        assert!(process.has_ended, "{id} runs");
        self.children.all.remove(&id);
        Ok(())
    }
}

impl Spawner for Sim {
    type Command = Vec<String>;

    fn supervise(&mut self) -> io::Result<()> {
        self.children.is_subreaper = true;
        Ok(())
    }

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
        self.leave(Name::TakeOutput, number, Argument::None, answer, |&count| {
            count
        })
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        let answer = self.kill_group(id);
        self.leave(Name::Kill, None, Argument::Group(id), answer, |()| 0)
    }

    fn reap(&mut self, exit: &Socket) -> io::Result<bool> {
        self.table.check(exit);
        let answer = self.take_note(exit);
        let number = Some(exit.number);
        self.leave(Name::Reap, number, Argument::None, answer, |&over| {
            usize::from(over)
        })
    }

    fn has_ended(&mut self, exit: &Socket) -> io::Result<bool> {
        self.table.check(exit);
        let answer = self.look_at_end(exit);
        let number = Some(exit.number);
        self.leave(Name::HasEnded, number, Argument::None, answer, |&over| {
            usize::from(over)
        })
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        let answer = self.enter(Name::TakeChildReport);
        let answer = answer.map(|()| self.children.has_news = false);
        let name = Name::TakeChildReport;
        self.leave(name, None, Argument::None, answer, |()| 0)
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        if !self.children.is_subreaper {
            return Ok(None);
        }
        let answer = self.first_ended();
        self.leave(Name::EndedChild, None, Argument::None, answer, |id| {
            id.unwrap_or(0) as usize
        })
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        let answer = self.bury_orphan(id);
        self.leave(
            Name::ReapOrphan,
            None,
            Argument::Process(id),
            answer,
            |()| 0,
        )
    }
}
