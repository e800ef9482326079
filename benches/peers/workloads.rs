//! The workloads, each as the arguments of `mynah bench`.
//!
//! A framed workload also runs on the raw bare loop, which treats frames as plain bytes: all ratios
//! refer to it. The base of HTTP workloads is a bare loop for HTTP.

/// One line of the table.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) speech: Speech,
    pub(crate) measure: Measure,
}

/// The protocol, which decides which servers take part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Raw,
    /// Frames with a u32be length prefix.
    Frames,
    Http,
}

/// The figure that is compared with the figure of the bare loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Server CPU over generator CPU, if the generator has the same work with all servers.
    Ratio,
    /// Server CPU alone. A server that sends a large message in larger pieces saves the generator
    /// reads and wake-ups; the ratio would count that saving against the server.
    Cost,
}

const fn workload(speech: Speech, name: &'static str, words: &'static str) -> Workload {
    let measure = Measure::Ratio;
    Workload {
        name,
        words,
        speech,
        measure,
    }
}

pub(crate) const ALL: &[Workload] = &[
    workload(Speech::Raw, "ping-pong 1", "--connections 1"),
    workload(Speech::Raw, "ping-pong 100", "--connections 100"),
    workload(Speech::Raw, "ping-pong 1,000", "--connections 1000"),
    workload(
        Speech::Raw,
        "16 deep x 100",
        "--connections 100 --pipeline 16",
    ),
    Workload {
        measure: Measure::Cost,
        ..workload(Speech::Raw, "1 MiB x 4", "--connections 4 --size 1m")
    },
    // Both ends of a connection are on this machine, and the end that closes first keeps its port
    // in TIME_WAIT for a minute. This many source addresses provide enough ports.
    workload(
        Speech::Raw,
        "churn, one by one",
        "--connections 1 --churn --source-ip 127.0.0.2..127.0.0.33",
    ),
    workload(
        Speech::Raw,
        "churn, 16 at once",
        "--connections 16 --churn --source-ip 127.0.0.2..127.0.0.33",
    ),
    workload(
        Speech::Frames,
        "u32be 100",
        "--frame u32be --connections 100",
    ),
    workload(
        Speech::Frames,
        "u32be 16 deep x 100",
        "--frame u32be --connections 100 --pipeline 16",
    ),
    workload(
        Speech::Frames,
        "u32be 4 B, 1,024 deep x 16",
        "--frame u32be --connections 16 --size 4 --pipeline 1024",
    ),
    workload(
        Speech::Frames,
        "u32be 64 KiB x 16",
        "--frame u32be --connections 16 --size 64k",
    ),
    workload(
        Speech::Http,
        "http 100",
        "--protocol http --connections 100",
    ),
    // This is the plaintext test of TechEmpower.
    workload(
        Speech::Http,
        "http 16 deep x 100",
        "--protocol http --connections 100 --pipeline 16",
    ),
];
