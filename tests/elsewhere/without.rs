//! Runs a program without some system calls, as on a kernel that is too old for them, or in a
//! sandbox that refuses them.
//!
//! ```sh
//! rustc -O --target x86_64-unknown-linux-musl -o without tests/elsewhere/without.rs
//! ./without epoll_pwait2,close_range mynah --listen 127.0.0.1:0
//! ./without EPERM io_uring_setup mynah ...
//! ```
//!
//! A filter of seccomp(2) answers each named call with ENOSYS, or with EPERM if that word comes
//! first. The filter holds for the calling thread and for every process that the thread starts, and
//! cannot be taken off. This file is a program for the scripts of this folder and a module of the
//! tests, so it needs nothing but the standard library. The numbers are the same on every
//! architecture: all calls that Linux got since 5.1 share one table.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Calls that a supported kernel may lack, with the version that brought each.
pub(crate) const CALLS: &[(&str, u32, &str)] = &[
    ("pidfd_send_signal", 424, "5.1"),
    ("io_uring_setup", 425, "5.1"),
    ("io_uring_enter", 426, "5.1"),
    ("io_uring_register", 427, "5.1"),
    ("pidfd_open", 434, "5.3"),
    ("clone3", 435, "5.3"),
    ("close_range", 436, "5.9"),
    ("openat2", 437, "5.6"),
    ("pidfd_getfd", 438, "5.6"),
    ("epoll_pwait2", 441, "5.11"),
];

/// What a refused call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// ENOSYS: the kernel is too old.
    Missing,
    /// EPERM: a sandbox does not permit the call.
    Forbidden,
}

/// One instruction of a filter: `struct sock_filter` of linux/filter.h.
#[repr(C)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

/// A filter: `struct sock_fprog`.
#[repr(C)]
struct Filter {
    length: u16,
    start: *const Instruction,
}

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

/// From here on the calling thread, and each process that it starts, is without these calls.
pub(crate) fn refuse(names: &[&str], refusal: Refusal) -> io::Result<()> {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, at offset 0 of struct seccomp_data
    const SKIP_UNLESS_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
    const FAIL: u32 = 0x0005_0000; // SECCOMP_RET_ERRNO, with the errno in the low half
    const PR_SET_NO_NEW_PRIVS: c_int = 38;
    const PR_SET_SECCOMP: c_int = 22;
    const SECCOMP_MODE_FILTER: c_ulong = 2;
    const ON: c_ulong = 1;
    const NONE: c_ulong = 0;

    let errno = match refusal {
        Refusal::Missing => 38,
        Refusal::Forbidden => 1,
    };
    let instruction = |code, jump_false, value| Instruction {
        code,
        jump_true: 0,
        jump_false,
        value,
    };
    let mut filter = vec![instruction(LOAD_NUMBER, 0, 0)];
    for name in names {
        let Some((_, number, _)) = CALLS.iter().find(|(call, ..)| call == name) else {
            let known: Vec<&str> = CALLS.iter().map(|(call, ..)| *call).collect();
            let text = format!("{name} is none of {}", known.join(", "));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        filter.push(instruction(SKIP_UNLESS_EQUAL, 1, *number));
        filter.push(instruction(RETURN, 0, FAIL | errno));
    }
    filter.push(instruction(RETURN, 0, ALLOW));
    let whole = Filter {
        length: filter.len() as u16,
        start: filter.as_ptr(),
    };
    // SAFETY: this option takes numbers.
    if unsafe { prctl(PR_SET_NO_NEW_PRIVS, ON, NONE, NONE, NONE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel copies the filter, which outlives the call.
    if unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const whole) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The program: `without [EPERM] CALL[,CALL...] PROGRAM [WORD...]`.
#[allow(dead_code)]
fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut refusal = Refusal::Missing;
    if words.first().is_some_and(|word| word == "EPERM") {
        refusal = Refusal::Forbidden;
        words.remove(0);
    }
    let [calls, program, words @ ..] = &words[..] else {
        eprintln!("usage: without [EPERM] CALL[,CALL...] PROGRAM [WORD...]");
        return ExitCode::from(125);
    };
    let calls: Vec<&str> = calls.split(',').collect();
    if let Err(error) = refuse(&calls, refusal) {
        eprintln!("without: {error}");
        return ExitCode::from(125);
    }
    let error = Command::new(program).args(words).exec();
    eprintln!("without: {program}: {error}");
    ExitCode::from(126)
}
