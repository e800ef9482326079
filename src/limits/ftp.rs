//! Bounds of `mynah ftp`: lines, names, data connections, sessions.
//!
//! A session has one thread, at most one data connection and at most one file. Man pages:
//! path_resolution(7), openat2(2).

use std::time::Duration;

use super::KIB;

/// Longest command line in bytes, without its end: a path of the kernel and a word before it.
pub const FTP_LINE_SIZE_MAX: usize = FTP_PATH_SIZE_MAX + 64;
/// Longest path in bytes: PATH_MAX of the kernel, without the NUL.
pub const FTP_PATH_SIZE_MAX: usize = 4095;
/// Longest name in bytes: NAME_MAX of the kernel. Names of users have the same bound.
pub const FTP_NAME_SIZE_MAX: usize = 255;
/// Most users of one server: each login looks through them, and they are held twice in a reload.
pub const FTP_USERS_MAX: usize = 10_000;
/// Largest file of users in bytes: as many lines of 400 bytes.
pub const FTP_USERS_SIZE_MAX: usize = FTP_USERS_MAX * 400;
/// Longest password in bytes: it is typed, or made by a program.
pub const FTP_PASSWORD_SIZE_MAX: usize = KIB;
/// Wrong passwords on one connection before it is closed.
pub const FTP_PASSWORDS_MAX: u32 = 3;
/// Pause before the last of them is answered and the connection is closed, so that guesses on
/// connection after connection are slow.
pub const FTP_REFUSAL_PAUSE: Duration = Duration::from_secs(1);
/// How long a connection may take to log in: a person types a name and a password.
pub const FTP_LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to open its data connection, or to accept ours: several
/// retransmissions of a SYN.
pub const FTP_DATA_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections from other addresses that are closed before a data port is given up: an attacker
/// that floods the port does not keep the session's thread for ever.
pub const FTP_STRANGERS_MAX: u32 = 64;
/// Ports that are tried for a listener of `--data-ports`: with a range that is taken, the client
/// learns it soon.
pub const FTP_PORT_TRIES_MAX: u32 = 1024;
/// Lowest port to which the server connects: below are the services of the system (RFC 2577).
pub const FTP_ACTIVE_PORT_MIN: u16 = 1024;
/// Bytes that a session reads at once, from files, data connections and HASH.
pub const FTP_BUFFER_SIZE: usize = 32 * KIB;
/// Bytes that one sendfile(2) may send: between two calls a session looks at its orders.
pub const FTP_SEND_SIZE: usize = 256 * KIB;
/// Largest file whose size is told for TYPE A: it is read for that, and the client waits.
pub const FTP_ASCII_SIZE_MAX: u64 = 64 << 20;
/// Age at which an unfinished upload is removed.
pub const FTP_PART_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between two looks for such uploads in all homes.
pub const FTP_SWEEP_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Most directories that wait for their turn when a home is counted or swept: some 10 MiB of paths.
pub const FTP_WALK_FOLDERS_MAX: usize = 100_000;
/// How long the end of a control connection may come after that of a data connection, for an upload
/// to count as aborted: a client that dies closes both at once.
pub const FTP_FAREWELL_TIME: Duration = Duration::from_millis(10);
/// How long a session reads on after its last reply, so that unread bytes do not destroy it.
pub const FTP_LINGER_TIME: Duration = Duration::from_millis(500);
/// Stack of a session: several times what the deepest call needs in a build without optimization.
pub const FTP_STACK_SIZE: usize = 96 * KIB;
/// Memory of a session: its stack, two buffers, a line twice, and what the C library keeps of a
/// thread.
pub const FTP_SESSION_SIZE: usize =
    FTP_STACK_SIZE + 2 * FTP_BUFFER_SIZE + 2 * FTP_LINE_SIZE_MAX + 16 * KIB;
/// Descriptors of a session beside its control connection: the home, a data connection and its
/// listener, a file, and two of a walk through directories.
pub const FTP_SESSION_DESCRIPTORS: u64 = 6;
/// Bytes of entries that are read from a directory at once.
pub const DIRECTORY_READ_SIZE: usize = 16 * KIB;
/// How often an open is tried whose `..` a rename disturbs.
pub const OPEN_BENEATH_TRIES: u32 = 16;
