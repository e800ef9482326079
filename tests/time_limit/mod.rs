//! A time limit for every test of a process: a test that hangs is named, and ends the run.
//!
//! The test runner of Rust has no stable time limit, and a macro or a guard in each of 900 tests
//! would be missing in the next one. So every test binary includes this file, whose thread starts
//! before `main` and looks at the threads of the process from time to time: the runner gives each
//! test a thread that is named after the test. When such a thread has been there for the whole
//! limit, its test hangs. All processes that the tests have started are killed, the name is
//! printed, and the process aborts, so `cargo test` fails.
//!
//! - A limit counts looks and not time. A process that is stopped, suspended or starved does not
//!   look, so its tests are not late.
//! - The kernel keeps 15 bytes of a thread's name. The whole name is known to the thread itself, so
//!   a late thread is asked by a signal, whose handler copies the name.
//! - A thread whose name is no test's (a worker, a helper that a test left behind) may stay.
//! - A test with `#[ignore]` may run for minutes and is called by name: it has no limit.
//! - Without proc(5) there is no limit.
//!
//! `MYNAH_TEST_SECONDS_MAX` sets another limit, or none with 0: for a run under valgrind, for
//! instance. Man pages: proc_pid_task(5), tgkill(2), signal-safety(7).

// The section attributes of the linker and the signal calls are unsafe code.
#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Seconds that a test may take by default: ten times what the slowest takes on a busy machine.
const SECONDS_MAX: u64 = 180;
/// Looks until a test is late. Few looks also disturb the tests less that count the allocations of
/// the whole process.
const LOOKS_MAX: u32 = 4;
/// How long a thread may take to report its name.
const ANSWER_MS_MAX: u32 = 1000;
const NAME_MAX: usize = 256;
/// The signal that asks for the name; no test uses it.
const ASK: libc::c_int = libc::SIGXCPU;

/// The name that the thread reported.
static NAME: [AtomicU8; NAME_MAX] = [const { AtomicU8::new(0) }; NAME_MAX];
/// Its length, or [`NO_ANSWER`].
static NAME_LENGTH: AtomicUsize = AtomicUsize::new(NO_ANSWER);
const NO_ANSWER: usize = usize::MAX;
/// Holds the threads that were asked: a test whose child was killed could otherwise finish, and
/// even pass, before the process aborts.
static HOLDS: AtomicBool = AtomicBool::new(false);

/// A thread id and its start time, because the kernel reuses ids.
type Thread = (i32, String);

// SAFETY: the loader calls each entry of this section once before main, as a C function, and
// passes arguments that such a function may ignore.
#[unsafe(link_section = ".init_array")]
#[used]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let set = env::var("MYNAH_TEST_SECONDS_MAX").ok();
    let seconds = set
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS_MAX);
    if seconds > 0 {
        let pause = Duration::from_secs(seconds) / LOOKS_MAX;
        // If the thread cannot be started, there is no limit.
        let _ = thread::Builder::new().spawn(move || watch(pause));
    }
}

fn watch(pause: Duration) {
    // SAFETY: the handler reads a name and writes atomics, which is all safe in a signal handler.
    unsafe { libc::signal(ASK, tell_name as *const () as libc::sighandler_t) };
    let mut looks = HashMap::<Thread, u32>::new();
    let mut harmless = HashSet::<Thread>::new();
    loop {
        thread::sleep(pause);
        let threads = threads();
        looks.retain(|thread, _| threads.contains(thread));
        for thread in threads {
            *looks.entry(thread).or_default() += 1;
        }
        let is_late =
            |(thread, looks): &(&Thread, &u32)| **looks > LOOKS_MAX && !harmless.contains(*thread);
        let late: Vec<Thread> = looks
            .iter()
            .filter(is_late)
            .map(|(thread, _)| thread.clone())
            .collect();
        if late.is_empty() {
            continue;
        }
        let tests = tests_with_a_limit();
        HOLDS.store(true, Ordering::Relaxed);
        let names = late.iter().map(|(number, _)| name_of(*number));
        let hanging: Vec<String> = names.filter(|name| tests.contains(name)).collect();
        if !hanging.is_empty() {
            give_up(&hanging, pause * LOOKS_MAX);
        }
        HOLDS.store(false, Ordering::Relaxed);
        harmless.extend(late);
    }
}

/// Kills all descendants and aborts.
fn give_up(hanging: &[String], limit: Duration) -> ! {
    let started = descendants(process::id());
    for process in &started {
        // SAFETY: the call takes no pointer.
        unsafe { libc::kill(*process, libc::SIGKILL) };
    }
    for name in hanging {
        // The runner may have left an incomplete line.
        let line = format!("\ntest {name} hangs: it has run for more than {limit:?}\n");
        let _ = io::stderr().write_all(line.as_bytes());
    }
    let count = started.len();
    let line = format!("the run ends here; {count} processes that it had started were killed\n");
    let _ = io::stderr().write_all(line.as_bytes());
    process::abort();
}

/// The threads of this process, except the calling one.
fn threads() -> Vec<Thread> {
    // SAFETY: the call takes no pointer.
    let own = unsafe { libc::gettid() };
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let thread = |path: std::path::PathBuf| {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        // The start time is field 22 of proc_pid_stat(5).
        Some((number, stat_field(&path.join("stat"), 22)?))
    };
    tasks
        .flatten()
        .filter_map(|task| thread(task.path()))
        .filter(|(number, _)| *number != own)
        .collect()
}

/// A field of a `stat` file, counted from 1 as in proc_pid_stat(5); at least 3.
fn stat_field(path: &std::path::Path, number: usize) -> Option<String> {
    let stat = fs::read_to_string(path).ok()?;
    // The name in parentheses may contain any character.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3).map(str::to_owned)
}

/// All descendants of `ancestor`.
fn descendants(ancestor: u32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent_of = |path: std::path::PathBuf| {
        let number: i32 = path.file_name()?.to_str()?.parse().ok()?;
        let parent: i32 = stat_field(&path.join("stat"), 4)?.parse().ok()?;
        Some((number, parent))
    };
    let parents: Vec<(i32, i32)> = processes
        .filter_map(|process| parent_of(process.path()))
        .collect();
    let mut found = vec![ancestor as i32];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        let children = parents.iter().filter(|(_, other)| *other == parent);
        found.extend(children.map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}

/// The names of the tests of this binary to which the limit applies.
fn tests_with_a_limit() -> HashSet<String> {
    let list = |options: &[&str]| {
        let program = env::current_exe().unwrap_or_default();
        let listed = Command::new(program)
            .args(["--list", "--format", "terse"])
            .args(options)
            .output();
        let text = listed.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        names.map(str::to_owned).collect::<HashSet<_>>()
    };
    &list(&[]) - &list(&["--ignored"])
}

/// The full name of a thread; empty if it has none or does not answer.
fn name_of(thread: i32) -> String {
    NAME_LENGTH.store(NO_ANSWER, Ordering::Relaxed);
    // SAFETY: the call takes three numbers and no pointer.
    unsafe { libc::syscall(libc::SYS_tgkill, process::id(), thread, ASK) };
    for _ in 0..ANSWER_MS_MAX {
        match NAME_LENGTH.load(Ordering::Acquire) {
            NO_ANSWER => thread::sleep(Duration::from_millis(1)),
            length => {
                let bytes = NAME[..length].iter();
                let name = bytes.map(|byte| byte.load(Ordering::Relaxed)).collect();
                return String::from_utf8(name).unwrap_or_default();
            }
        }
    }
    String::new()
}

/// The signal handler: copies the name of the current thread, and holds the thread. The handle was
/// created when the thread started, so nothing is allocated here.
extern "C" fn tell_name(_: libc::c_int) {
    let thread = thread::current();
    let name = thread.name().unwrap_or_default();
    let length = name.len().min(NAME_MAX);
    for (place, byte) in NAME.iter().zip(name.bytes()) {
        place.store(byte, Ordering::Relaxed);
    }
    NAME_LENGTH.store(length, Ordering::Release);
    while HOLDS.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
}
