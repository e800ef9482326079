//! Bounds of the commands that `run` starts.
//!
//! A command is small work for a peer that waits: its time, its output and its number are bounded,
//! so that one worker holds all of them in its memory. Man pages: execve(2), waitid(2).

use std::time::Duration;

use super::KIB;

/// Most lines that `run` may be told to allow: a menu, not a shell.
pub const ALLOWED_MAX: usize = 256;
/// Longest of these lines, in bytes.
pub const COMMAND_SIZE_MAX: usize = KIB;
/// Most words of one of these lines: the array of pointers to them is on the stack.
pub const COMMAND_WORDS_MAX: usize = 64;
/// How long a command may run, with all processes that it starts: a person still waits, and the
/// place of the command is soon free again.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of output of a command: a listing, not a download, because the output is kept until
/// the peer takes it.
pub const COMMAND_OUTPUT_MAX: usize = 64 * KIB;
/// Commands that one worker runs at the same time; further ones wait in order. Each has two
/// descriptors.
pub const COMMANDS_MAX: usize = 64;
/// Bytes of output that are read at once, on the stack.
pub const COMMAND_PIECE_SIZE: usize = 16 * KIB;
/// Interval of the checks of a process whose end epoll does not report: the process was killed and
/// is still dying, or epoll refused to watch it.
pub const COMMAND_REAP_PAUSE: Duration = Duration::from_millis(100);
/// Stack of a new process until it executes its program: a few frames of system calls, several
/// times over for builds without optimization. It exists only that long.
pub const SPAWN_STACK_SIZE: usize = 32 * KIB;
/// Inherited children that are reaped in one turn: as many as the commands a worker runs, so that
/// many orphans delay the connections no longer than commands do.
pub const ORPHANS_PER_TURN: usize = COMMANDS_MAX;
/// Longest name of a peer as `run` reports it: an IPv6 address with its scope and port.
pub const PEER_NAME_MAX: usize = 64;
/// Longest key of an HMAC, in bytes: many times the block of any hash, and short enough for a wrong
/// file to be refused.
pub const KEY_SIZE_MAX: usize = 64 * KIB;
/// Longest `--salt`, in bytes: it is typed.
pub const SALT_SIZE_MAX: usize = KIB;
/// Bytes that `mynah sum` reads at once: enough for the calls to cost nothing beside the digest.
pub const SUM_READ_SIZE: usize = 128 * KIB;
/// Largest list that `mynah sum --check` reads, in bytes: 100,000 files, held while they are read.
pub const SUM_LIST_SIZE_MAX: usize = 16 * KIB * KIB;
