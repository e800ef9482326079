//! What the servers are asked, each as the words that `mynah bench` would be given.
//!
//! A framed workload is also given to the raw bare loop, for which frames are bytes like others:
//! it stays what all ratios are to.

/// One line of the table.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) framed: bool,
}

const fn raw(name: &'static str, words: &'static str) -> Workload {
    let framed = false;
    Workload {
        name,
        words,
        framed,
    }
}

const fn framed(name: &'static str, words: &'static str) -> Workload {
    let framed = true;
    Workload {
        name,
        words,
        framed,
    }
}

pub(crate) const ALL: &[Workload] = &[
    raw("ping-pong 1", "--connections 1"),
    raw("ping-pong 100", "--connections 100"),
    raw("ping-pong 1,000", "--connections 1000"),
    raw("16 deep x 100", "--connections 100 --pipeline 16"),
    raw("1 MiB x 4", "--connections 4 --size 1m"),
    // Both ends of a connection are here, and the one that closes first keeps its port for a
    // minute: so many addresses have enough of them.
    raw(
        "churn",
        "--connections 16 --churn --source-ip 127.0.0.2..127.0.0.33",
    ),
    framed("u32be 100", "--frame u32be --connections 100"),
    framed(
        "u32be 16 deep x 100",
        "--frame u32be --connections 100 --pipeline 16",
    ),
    framed(
        "u32be 4 B, 1,024 deep x 16",
        "--frame u32be --connections 16 --size 4 --pipeline 1024",
    ),
    framed(
        "u32be 64 KiB x 16",
        "--frame u32be --connections 16 --size 64k",
    ),
];
