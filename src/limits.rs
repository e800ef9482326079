//! Every bound and every default of the program, each with its reason.
//!
//! Every number that limits something is defined here and nowhere else. A reader sees at once what
//! the server does and does not accept, and the numbers can be compared with each other: the
//! compiler checks the assertions at the end of the file. A *default* applies when an option is not
//! given. A *max* or *min* bounds what an option may ask for. Limits that the kernel enforces by
//! itself are not repeated.
//!
//! This file is the lowest layer: it imports nothing from this crate, and every layer may import
//! it. Man pages: listen(2), tcp(7), proc(5).

use std::time::Duration;

/// One kibibyte: sizes on the command line count in powers of 1024, as memory does.
pub const KIB: usize = 1 << 10;
/// One mebibyte.
pub const MIB: usize = 1 << 20;
/// One gibibyte.
pub const GIB: usize = 1 << 30;

/// Default listen address: this machine only. Attackers can bounce traffic off an echo server that
/// the whole network reaches.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7007";

/// Default number of workers. One worker saturates a core with echo traffic, and a second, idle one
/// costs it 1.5 %.
pub const THREADS_DEFAULT: usize = 1;
/// Largest number of workers. Each has its own listener, slots and pool. More workers than the
/// cores of a large machine only divide the same memory.
pub const THREADS_MAX: usize = 64;

/// Default number of concurrent connections: the classic ten thousand, at about a megabyte of
/// slots. A lower descriptor limit reduces it.
pub const CONNECTIONS_DEFAULT: u32 = 10_000;
/// Largest number of concurrent connections: far above the descriptors of one process
/// (`fs.nr_open`, 2^20 by default), far below the 32 bits of a token's index.
pub const CONNECTIONS_MAX: u32 = 1 << 24;

/// Default size of the largest frame: room for any reasonable message. Text that is decoded as a
/// length field (`GET ` is 1.1 GiB) is refused at once.
pub const FRAME_MAX_DEFAULT: usize = MIB;
/// Largest frame size that an option may ask for. A frame is held as a whole, and its cursors stay
/// within 32 bits.
pub const FRAME_MAX_MAX: usize = GIB;

/// Default memory ceiling of all buffers together: a quarter of the smallest machine that is
/// usually rented. Until connections are busy, this is address space only.
pub const MEMORY_DEFAULT: usize = 256 * MIB;
/// Lowest memory ceiling: below it not even one connection has a useful buffer.
pub const MEMORY_MIN: usize = 64 * KIB;
/// Highest memory ceiling: more than machines have, and sums of sizes stay far from overflow.
pub const MEMORY_MAX: usize = 1024 * GIB;

/// How long a starting server waits for the lock of the directory of a local path, before it goes
/// on without the lock. A start holds the lock for a few system calls. The bound is far above what
/// a hundred simultaneous starts take.
pub const PATH_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an ending server waits for the same lock. Other connections wait meanwhile.
pub const PATH_LOCK_TIMEOUT_AT_END: Duration = Duration::from_millis(100);
/// Pause between two attempts of a process that waits for the lock.
pub const PATH_LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Default backlog, in connections that wait to be accepted: the kernel's own `net.core.somaxconn`
/// since Linux 5.4. The kernel reduces a larger number to it.
pub const BACKLOG_DEFAULT: u32 = 4096;
/// The longest backlog: listen(2) takes an `int`.
pub const BACKLOG_MAX: u32 = i32::MAX as u32;

/// Default time a peer may stay silent: longer than a person thinks at a terminal, shorter than a
/// dead peer may hold a slot.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// Default time in which a peer must take [`STALL_SIZE_MIN_DEFAULT`] bytes of the replies owed to
/// it: several retransmissions on a bad line. Not longer, because the peer holds a workspace
/// meanwhile.
pub const STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Default number of bytes that a peer must take within the stall timeout, unless it takes all that
/// is owed. Half a kibibyte per second keeps even a very bad line connected, while a trickling peer
/// cannot keep a workspace. Bytes count as taken when the peer's kernel acknowledges them. With a
/// large receive buffer the peer's kernel opens its window only a sixteenth of the buffer at a
/// time.
pub const STALL_SIZE_MIN_DEFAULT: usize = 16 * KIB;
/// Default time from the first byte of a frame to its last: enough for a mebibyte over a bad mobile
/// line. A trickling peer loses its workspace after it.
pub const FRAME_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Default time that an ending server waits for its last replies to be taken: service managers wait
/// as long before they send SIGKILL.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long the server still reads from a connection after its own FIN, before it closes: a few
/// round trips around the world, so that the peer gets the last reply instead of a reset. While the
/// kernel still holds unacknowledged replies, this is the interval of the checks, and the stall
/// timeout applies as before the FIN.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest span that an option may ask for: one year. `off` disables a timeout.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shortest timeout. Below the kernel's own tick, scheduling alone makes a peer late.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Shortest interval between two lines of statistics: a person can still read the log.
pub const STATS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Silence after which the kernel probes the peer (`TCP_KEEPIDLE`). A machine that loses its power
/// sends no FIN, and the kernel's default of two hours is too long to hold a slot.
pub const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long sent data or a probe may stay unacknowledged before the kernel aborts the connection
/// (`TCP_USER_TIMEOUT`).
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Events fetched by one wait. More than 32 bring no measurable gain, and a batch of this size
/// takes at most 8 KiB.
pub const EVENTS_PER_TURN: usize = 512;
/// Connections that are read before the answers of all of them are sent: 8 save 2 % of the cost of
/// a request, 64 save another half per cent. Each further connection delays those before it by the
/// time of one read.
pub const ANSWERS_PER_PHASE: usize = 32;
/// Bytes of answers that are collected before they are sent. A larger collection would be evicted
/// from the first-level cache before it is sent.
pub const ANSWERS_SIZE_PER_PHASE: usize = 32 << 10;
/// Reads, writes and similar calls for one connection at one event. A connection that could
/// continue then waits until the others have been served.
pub const OPERATIONS_PER_EVENT: usize = 16;
/// Bytes read for one connection at one event before the others are served. Reads of the usual size
/// fit in twice.
pub const BYTES_PER_EVENT: u64 = MIB as u64;
/// Frames answered for one connection at one event. [`BYTES_PER_EVENT`] alone would admit a million
/// empty frames, which take tens of milliseconds; this many take tens of microseconds. A connection
/// hardly ever has more requests in flight.
pub const FRAMES_PER_EVENT: u64 = 2048;
/// Bytes of a request that count as one more frame when its answer is built by a service. The
/// slowest service, full upper case, takes a third of a microsecond for them.
pub const FRAME_WORK_SIZE: usize = 64;
/// Connections accepted at one event, so that a burst of new connections does not starve the
/// existing ones.
pub const ACCEPTS_PER_TURN: u32 = 64;
/// How long the kernel may withhold a connection without data from a listener with `--defer-accept`
/// (`TCP_DEFER_ACCEPT`). A client that waits for the server to speak first is delayed by about this
/// span.
pub const DEFER_ACCEPT: Duration = Duration::from_secs(1);
/// Longest spin. A longer one amounts to a loop that never sleeps, which this option is not meant
/// for.
pub const SPIN_MAX: Duration = Duration::from_millis(100);
/// First pause of a listener when no descriptors are left.
pub const LISTENER_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest pause of a listener. A waiting connection is accepted at most this long after a
/// descriptor becomes free, and ten attempts a second cost no measurable CPU.
pub const LISTENER_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Pause before a read or write is retried for which the kernel had no memory (`ENOBUFS`,
/// `ENOMEM`). Each further pause is twice as long. The kernel does not report when memory is
/// available again.
pub const MEMORY_RETRY_MIN: Duration = Duration::from_millis(1);
/// Number of such retries before the connection is closed: one second in all.
pub const MEMORY_RETRIES_MAX: u8 = 10;
/// Consecutive transient accept errors before the listener pauses. An error that leaves the
/// connection in the queue (a firewall's `EPERM`) would otherwise be reported forever.
pub const ACCEPT_ERRORS_MAX: u32 = 64;
/// How long a repetition of the terminating signal counts as a duplicate. timeout(1) sends the
/// signal to its child and then to its process group, microseconds apart. A person cannot repeat a
/// signal this fast.
pub const SIGNAL_ECHO: Duration = Duration::from_millis(20);
/// Signals taken in one turn. Each of the four kinds can be pending once (signal(7)). Signals that
/// arrive meanwhile must not keep the loop from its connections.
pub const SIGNALS_PER_TURN: usize = 8;
/// Lines about reloads that are written at once, of each kind; after them one a second. An edit
/// and a reload by hand show every line, and a storm of SIGHUP does not fill the log.
pub const RELOAD_LINES_BURST: u32 = 4;
/// How long the ready line may wait for room on stdout before the loop starts: a script that reads
/// it is there within seconds, and a terminal that stands still must not keep clients waiting.
pub const READY_LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// When to try again to write a line that was not taken, or in part: a person does not notice the
/// delay, and twenty tries a second cost no measurable CPU.
pub const LINE_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the last lines on stderr may wait for room, when the loop has ended.
pub const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a draining server reads from a peer that keeps sending.
pub const DRAIN_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Reads that a peer still gets after that time if the server could not read from it before. They
/// cover a full receive buffer, 32 MiB at most on a usual kernel, in reads of the usual size.
pub const DRAIN_READS_MIN: u8 = 64;

/// Bytes of space that a read is offered, unless frames need more. Messages of 1 MiB cost a tenth
/// less than with half this size, and no more than with twice this size. Small messages touch only
/// the pages they fill.
pub const READ_SIZE: usize = 512 * KIB;
/// Bytes that one read may discard, on the stack. A lingering peer sends little.
pub const DISCARD_SIZE: usize = 16 * KIB;
/// Smallest reply buffer of services whose replies differ in length from the requests. Raw streams
/// have no longest message, and replies to many short requests are sent together.
pub const STREAM_REPLY_SIZE: usize = 256 * KIB;
/// Descriptors that are not connections: standard streams and their outlets, the epoll instance,
/// signals, wake-up, the reserve, and some for the C library.
pub const DESCRIPTORS_FIXED: u64 = 16;
/// The part of [`DESCRIPTORS_FIXED`] that is usually open when a program starts.
pub const STANDARD_STREAMS: u64 = 3;
/// Descriptors of each worker in addition to its listeners: epoll, timer, wake-up, reserve.
pub const DESCRIPTORS_PER_WORKER: u64 = 4;
/// Memory of the program itself, counted towards the ceiling: its text, the C library, the logger.
pub const PROGRAM_SIZE: usize = 4 * MIB;
/// Memory of a worker in addition to its slots and workspaces: the stack it uses and its batch of
/// events.
pub const WORKER_SIZE: usize = 128 * KIB;

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

/// Longest header of a length field, up to the end of the field or to the stripped bytes. The
/// header of a message that must fit in memory has no reason to be longer.
pub const HEADER_MAX: usize = KIB;
/// Longest delimiter. The boundary of a multipart message has at most 70 characters (RFC 2046,
/// 5.1.1); those in use have 60 or fewer, dashes included.
pub const DELIMITER_MAX: usize = 64;
/// Longest delimiter that is compared anew at each position where it may begin. For longer ones the
/// search that remembers what it has compared is faster.
pub const DELIMITER_SHORT_MAX: usize = 8;
/// Largest correction of a length field in bytes, positive or negative. A correction beyond the
/// largest frame could only refuse every frame.
pub const LENGTH_ADJUST_MAX: i64 = GIB as i64;

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

/// Longest text that `echo` puts in front of every message: a prompt, not a page.
pub const PREFIX_SIZE_MAX: usize = KIB;
/// Largest dictionary file: more words than any language has. During a reload two dictionaries
/// exist; both are still a small part of a server's default memory.
pub const DICTIONARY_SIZE_MAX: usize = 4 * MIB;
/// Attempts to read a file that changes while it is read. With their pauses they take half a
/// second, in which an editor or a copy finishes.
pub const FILE_READS_MAX: u32 = 10;
/// Pause after the first attempt. Each further pause is twice as long.
pub const FILE_PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest translation. Space for it is reserved before the request is known.
pub const TRANSLATION_SIZE_MAX: usize = 4 * KIB;

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

/// Longest request line of HTTP. RFC 9112, 3 recommends to support at least 8000 bytes.
pub const HTTP_REQUEST_LINE_MAX: usize = 8 * KIB;
/// Longest head of an HTTP request, including its request line, and longest trailer of a chunked
/// body: a little more than a browser sends with all its cookies.
pub const HTTP_HEAD_MAX: usize = 16 * KIB;
/// Longest body of an HTTP request. The body is read and dropped, so this bounds time and not
/// memory.
pub const HTTP_BODY_MAX: u64 = MIB as u64;
/// Longest line in front of a chunk, including its extensions, which are hardly used.
pub const HTTP_CHUNK_LINE_MAX: usize = 256;

const _: () = {
    assert!(CONNECTIONS_MAX as usize <= IN_FLIGHT_MAX && PIPELINE_MAX <= IN_FLIGHT_MAX);
    assert!(LENGTH_ADJUST_MAX as usize == FRAME_MAX_MAX);
    // The parts of a long delimiter are counted in bytes of 8 bits.
    assert!(DELIMITER_SHORT_MAX < DELIMITER_MAX && DELIMITER_MAX <= u8::MAX as usize);
    assert!(DATAGRAM_SIZE_IPV4_MAX < DATAGRAM_SIZE_IPV6_MAX);
    assert!(CONNECT_QUEUE_PAUSE.as_millis() < CONNECT_TIMEOUT_DEFAULT.as_millis());
    assert!(1 <= NAME_ADDRESSES_MAX);
    assert!(LISTENER_PAUSE_MIN.as_millis() < LISTENER_PAUSE_MAX.as_millis());
    assert!(STANDARD_STREAMS < DESCRIPTORS_FIXED);
    assert!(SIGNAL_ECHO.as_millis() < 100);
    assert!(DRAIN_READ_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(READ_SIZE as u64 <= BYTES_PER_EVENT);
    assert!(1 <= THREADS_DEFAULT && THREADS_DEFAULT <= THREADS_MAX);
    assert!(1 <= CONNECTIONS_DEFAULT && CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
    assert!(PATH_LOCK_PAUSE.as_nanos() < PATH_LOCK_TIMEOUT_AT_END.as_nanos());
    // A drain ends later than a wait for a lock that begins with it.
    assert!(PATH_LOCK_TIMEOUT_AT_END.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(1 <= BACKLOG_DEFAULT && BACKLOG_DEFAULT <= BACKLOG_MAX);
    // Every worker must be able to hold a connection.
    assert!(THREADS_MAX <= CONNECTIONS_DEFAULT as usize);

    // The head of a request has room for its longest part, and fits into the space of one read.
    assert!(HTTP_REQUEST_LINE_MAX <= HTTP_HEAD_MAX && HTTP_HEAD_MAX < READ_SIZE);
    assert!(HTTP_CHUNK_LINE_MAX <= HTTP_HEAD_MAX);
    // Our client accepts every head that our server accepts.
    assert!(HTTP_HEAD_MAX <= LOAD_HEAD_MAX);
    // A command ends before the drain that waits for it, and a peer that waits for a command is not
    // idle.
    assert!(COMMAND_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    // The output of a command, with the text added to it, fits into a stream reply. One piece of
    // it, and the table of commands, fit into the memory of a worker.
    assert!(COMMAND_OUTPUT_MAX + KIB <= STREAM_REPLY_SIZE);
    assert!(COMMAND_PIECE_SIZE + COMMANDS_MAX * 256 <= WORKER_SIZE / 2);
    assert!(SPAWN_STACK_SIZE <= WORKER_SIZE / 2);
    // Offsets into a dictionary fit into 32 bits, and two dictionaries fit into a small server.
    assert!(4 * DICTIONARY_SIZE_MAX <= MEMORY_DEFAULT / 8);

    // Cursors into a frame, and the size of a frame with its header, fit into 32 bits.
    assert!(FRAME_MAX_DEFAULT <= FRAME_MAX_MAX && FRAME_MAX_MAX <= (u32::MAX / 2) as usize);
    assert!(MEMORY_MIN <= MEMORY_DEFAULT && MEMORY_DEFAULT <= MEMORY_MAX);
    // By default each of the maximum number of workers holds two largest requests and their
    // replies.
    assert!(THREADS_MAX * 2 * 2 * FRAME_MAX_DEFAULT <= MEMORY_DEFAULT);

    // A lingering connection that has taken everything ends before the drain.
    assert!(LINGER_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    // A slow frame hits the frame timeout and not the idle timeout.
    assert!(FRAME_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    // The retries for memory end before the stall timeout.
    let memory_retries_ms = MEMORY_RETRY_MIN.as_millis() << MEMORY_RETRIES_MAX;
    assert!(memory_retries_ms < STALL_TIMEOUT_DEFAULT.as_millis());
    // The bytes that a peer must take in time are no more than one frame can hold.
    assert!(1 <= STALL_SIZE_MIN_DEFAULT && STALL_SIZE_MIN_DEFAULT <= FRAME_MAX_DEFAULT);
    // A stalled or dead peer is detected before the idle timeout.
    assert!(STALL_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(KEEPALIVE.as_millis() + USER_TIMEOUT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    // The defaults lie within the bounds.
    assert!(TIMEOUT_MIN.as_millis() <= DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(IDLE_TIMEOUT_DEFAULT.as_millis() <= TIMEOUT_MAX.as_millis());
};
