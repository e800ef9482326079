//! What the servers are asked, each as the words that `mynah bench` would be given.
//!
//! A framed workload is also given to the raw bare loop, for which frames are bytes like others: it
//! stays what all ratios are to. Of HTTP that is a bare loop of its own.

/// One line of the table.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) speech: Speech,
    pub(crate) measure: Measure,
}

/// What is spoken, and so who can take part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Raw,
    /// Frames, u32be.
    Frames,
    Http,
}

/// What is compared with that of the bare loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Server CPU over generator CPU, where the generator has the same work with all servers.
    Ratio,
    /// Server CPU alone. A server that sends a large message in larger pieces saves the generator
    /// reads and wake-ups, and the ratio would take from it what it gives.
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
    // Both ends of a connection are here, and the one that closes first keeps its port for a
    // minute: so many addresses have enough of them.
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
    // What TechEmpower calls plaintext.
    workload(
        Speech::Http,
        "http 16 deep x 100",
        "--protocol http --connections 100 --pipeline 16",
    ),
];
