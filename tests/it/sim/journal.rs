//! A recorder of every call made to the simulated kernel, and their short form as text.
//!
//! It keeps the `Call` of `mynah::kernel::journal` and does not know what a call does. Calls are
//! always counted. They are kept only while the journal is on, so a benchmark allocates nothing
//! here. The short form leaves out what a test of the loop does not depend on, the space of a read
//! and the token of a registration: `recv(5) = 64`, `epoll_ctl ADD(5, READ) = 0`.

use std::fmt::Write as _;
use std::io;

use mynah::kernel::journal::{Argument, Call, Name, Recordable, Recorder};
use mynah::kernel::{Address, Time, errno};

use super::{Sim, Socket};

/// Whether `name` stands for `text`: the same call, or a name that covers all calls of `epoll_ctl`
/// or `read`.
pub(super) fn matches(name: &str, text: &str) -> bool {
    text == name || text.split_once(' ').is_some_and(|(call, _)| call == name)
}

/// Panics if `name` stands for no call, which is a typing error in a test.
pub(super) fn check(name: &str) {
    let known = Name::texts().any(|text| matches(name, text));
    let texts: Vec<&str> = Name::texts().collect();
    assert!(known, "there is no call `{name}`; there are {texts:?}");
}

/// The calls so far.
pub(super) struct Journal {
    pub(super) on: bool,
    pub(super) calls: Vec<Call<'static>>,
    counts: [u64; Name::COUNT],
    /// The sum of all successful results, per call.
    sums: [u64; Name::COUNT],
}

impl Journal {
    pub(super) fn new() -> Journal {
        Journal {
            on: true,
            calls: Vec::new(),
            counts: [0; Name::COUNT],
            sums: [0; Name::COUNT],
        }
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        Journal::add(name, &self.counts)
    }

    pub(super) fn sum(&self, name: &str) -> u64 {
        Journal::add(name, &self.sums)
    }

    fn add(name: &str, numbers: &[u64; Name::COUNT]) -> u64 {
        check(name);
        Name::texts()
            .zip(numbers)
            .filter(|(text, _)| matches(name, text))
            .map(|(_, number)| number)
            .sum()
    }

    pub(super) fn trace(&self) -> String {
        let mut text = String::new();
        for call in &self.calls {
            short(&mut text, call);
        }
        text
    }

    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.calls.iter().map(|call| call.name.text()).collect();
        names.join(", ")
    }
}

impl Recorder for Journal {
    #[inline]
    fn record(&mut self, call: &Call<'_>) {
        self.counts[call.name as usize] += 1;
        self.sums[call.name as usize] += call.result.unwrap_or(0) as u64;
        if self.on {
            self.calls.push(call.detached());
        }
    }
}

/// Appends the line of `call`.
fn short(text: &mut String, call: &Call<'_>) {
    let mut arguments = Vec::new();
    arguments.extend(call.descriptor.map(|number| number.to_string()));
    match call.argument {
        // How much a read may take does not matter here, and how much a write has does.
        Argument::Size(size) if call.name == Name::Write => arguments.push(size.to_string()),
        Argument::Interest(_, interest) => arguments.push(format!("{interest:?}")),
        Argument::Group(id) | Argument::Process(id) => arguments.push(id.to_string()),
        _ => {}
    }
    let result = match call.result {
        Ok(number) => number.to_string(),
        Err(number) => match errno::name(number) {
            Some(name) => format!("-1 {name}"),
            None => format!("-1 errno {number}"),
        },
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}({}) = {result}",
        call.name.text(),
        arguments.join(", ")
    );
}

impl Recordable for Sim {
    fn number(socket: &Socket) -> u32 {
        socket.number
    }

    fn time(&self) -> Time {
        self.now
    }

    fn own_address(&self, _: &Socket) -> io::Result<Address> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
