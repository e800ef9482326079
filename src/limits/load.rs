//! Bounds and defaults of the clients: the load generator, `connect` and `decode`.
//!
//! What a client sends stays within what every server should accept; what it takes is as much as
//! browsers take. Man pages: connect(2), udp(7).

use std::time::Duration;

use super::{KIB, MIB};

/// Default timeout of one connect: four SYNs, sent after 0, 1, 3 and 7 seconds, have time to be
/// answered. Linux itself gives up after 2 minutes and 11 seconds.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Pause before connecting again to a local listener whose queue is full. unix(7) does not report
/// when there is room, and 100 attempts a second cost no measurable CPU.
pub const CONNECT_QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// Addresses of one name that are tried. One attempt takes at most this many connect timeouts, 80
/// seconds by default. Names with more addresses belong to large sites, where the first few fail
/// only together.
pub const NAME_ADDRESSES_MAX: usize = 8;
/// Attempts of a client that retries. With their pauses they take two minutes, in which a server
/// either has restarted or will not.
pub const CONNECT_TRIES: u32 = 8;
/// Pause after the first attempt. Each further pause is twice as long.
pub const CONNECT_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Default number of connections of the load generator: enough that the server always has work.
pub const LOAD_CONNECTIONS_DEFAULT: usize = 50;
/// Lowest rate of an open loop in requests per second: about one in a quarter of an hour.
pub const LOAD_RATE_MIN: f64 = 0.001;
/// Highest rate: one request per nanosecond, the resolution of the clock.
pub const LOAD_RATE_MAX: f64 = 1e9;
/// Default payload of a request, in bytes: that of a classic ping.
pub const LOAD_SIZE_DEFAULT: usize = 64;
/// Largest payload of a request. The generator holds a table of at least three payloads.
pub const LOAD_SIZE_MAX: usize = 64 * MIB;
/// The payload of the largest datagram over IPv4: 65,535 bytes with the headers of IP (RFC 791,
/// 3.1) and UDP.
pub const DATAGRAM_SIZE_IPV4_MAX: usize = 65_535 - 20 - 8;
/// The same over IPv6, whose length field does not count its own header (RFC 8200, 3).
pub const DATAGRAM_SIZE_IPV6_MAX: usize = 65_535 - 8;
/// Longest path of an HTTP request that is sent: its request line then has the 8000 bytes that
/// every server should accept (RFC 9112, 3).
pub const LOAD_PATH_MAX: usize = 8000 - "GET  HTTP/1.1".len();
/// Longest host: the longest name in DNS (RFC 1035, 2.3.4), with a port.
pub const LOAD_HOST_MAX: usize = 255 + ":65535".len();
/// Longest method of an HTTP request: more than any registered one has.
pub const LOAD_METHOD_MAX: usize = 32;
/// Longest header field of an HTTP request: the usual limit of servers for one line.
pub const LOAD_FIELD_MAX: usize = 8 * KIB;
/// Most URLs that one run requests in turn. All their requests are held in memory.
pub const LOAD_URLS_MAX: usize = 10_000;
/// Longest head of an HTTP reply (including its interim replies), longest trailer and longest line
/// of a chunk size: as much as browsers accept. A server that sends more is taken to be sending
/// without end.
pub const LOAD_HEAD_MAX: usize = 256 * KIB;
/// Shortest interval of `--interval`: a few times as long as a worker takes to publish its counts.
pub const LOAD_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Steps of `--rate A..B`: enough to see where the latency rises, few enough to wait for.
pub const SWEEP_STEPS: usize = 5;
/// Largest `--body` or `--message`, and largest file that one of them or `--urls` names.
pub const LOAD_INPUT_MAX: usize = 64 * MIB;
/// Most requests in flight on one connection. The generator keeps a time stamp for each.
pub const PIPELINE_MAX: usize = 1 << 16;
/// Most requests in flight on all connections together. Their time stamps take a quarter of a
/// gibibyte, and the largest number of connections can still have one request each.
pub const IN_FLIGHT_MAX: usize = 1 << 24;
/// Default duration of the measurement: long enough for a percentile, short enough to wait for.
pub const LOAD_DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// Default duration of each run of a comparison, which has many runs.
pub const ROUND_DURATION_DEFAULT: Duration = Duration::from_secs(1);
/// Default duration of the warm-up.
pub const LOAD_WARMUP_DEFAULT: Duration = Duration::from_secs(1);
/// Default warm-up of each run of a comparison, whose servers are already warm.
pub const ROUND_WARMUP_DEFAULT: Duration = Duration::from_millis(200);
/// Default time that the generator waits for replies after the measurement: the usual time after
/// which a person gives up.
pub const LOAD_GRACE_DEFAULT: Duration = Duration::from_secs(2);
/// Age from which a connection counts as kept; a first reply makes it kept as well. If the server
/// closes a kept connection while nothing is in flight, the generator opens it again. A connection
/// that ends earlier is an error, so the generator does not connect in a loop to a server that
/// closes at once.
pub const LOAD_KEPT_MIN: Duration = Duration::from_millis(100);
/// Default number of rounds of a comparison: enough for an interval, half a minute in all.
pub const PAIRS_DEFAULT: usize = 10;
/// Fewest rounds: a single pair does not show how much pairs vary.
pub const PAIRS_MIN: usize = 2;

/// Descriptors that are not connections of the load: standard streams, pollers, files in `/proc`.
pub const LOAD_DESCRIPTORS_FIXED: u64 = 32;
/// Descriptors of each thread of the load in addition: its poller and its timer.
pub const LOAD_DESCRIPTORS_PER_THREAD: u64 = 2;
/// Memory that a load takes beside its connections: the report and the buffers of its files.
pub const LOAD_MEMORY_FIXED: usize = 2 * MIB;
/// Memory of each thread of the load: 2 MiB of stack, which is the standard library's choice, and a
/// little for the thread itself.
pub const LOAD_MEMORY_PER_THREAD: usize = 2 * MIB + 256 * KIB;

/// Events that a client takes at once: at most its socket, its streams and its signals.
pub const CLIENT_EVENTS_PER_TURN: usize = 8;
/// Bytes of a part of a frame that `decode` shows: the drawing is for people.
pub const DECODE_SHOWN_MAX: usize = 16;

/// Deepest nesting of a JSON document that is read. Documents of the load generator have 7 levels;
/// the reader calls itself for each level, so the stack bounds it.
pub const JSON_DEPTH_MAX: usize = 32;
/// Largest document that `mynah merge` reads: a hundred times the size of a usual one.
pub const MERGE_SIZE_MAX: usize = 64 * MIB;
/// Most documents of one sum. With [`MERGE_COUNT_MAX`] no sum of counts exceeds 64 bits.
pub const MERGE_FILES_MAX: usize = 1024;
/// Largest count in a document that is merged: whole numbers up to here are exact in every reader
/// of JSON (RFC 7493, 2.2).
pub const MERGE_COUNT_MAX: u64 = (1 << 53) - 1;
/// Columns of the text report: those of the narrowest usual terminal, less one, because some
/// terminals wrap a full line.
pub const REPORT_COLUMNS: usize = 79;
