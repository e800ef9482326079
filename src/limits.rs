//! Every bound and every default, in one place, each with its reason.
//!
//! A number that limits something is named here and nowhere else, so that a reader can see at once
//! what the server will and will not do, and so that the numbers can be held against each other:
//! the assertions at the end are checked by the compiler. A *default* is what nobody asked for; a
//! *max* or *min* is what nobody may ask for. What the kernel bounds by itself is not repeated.
//!
//! A leaf: it imports nothing of the house and every floor may import it. Man pages: listen(2),
//! tcp(7), proc(5).

use std::time::Duration;

/// One kibibyte: sizes on the command line count in powers of 1024, as memory does.
pub const KIB: usize = 1 << 10;
/// One mebibyte.
pub const MIB: usize = 1 << 20;
/// One gibibyte.
pub const GIB: usize = 1 << 30;

/// Where the server listens when nobody says: this machine only, because an echo open to the world
/// is a toy for others to bounce traffic off.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7007";

/// Workers when nobody says: one saturates a core with echo, and an idle second one costs it 1.5 %.
pub const THREADS_DEFAULT: usize = 1;
/// Workers at most: each has its own listener, slots and pool, and beyond the cores of a large
/// machine more of them only divide the same memory.
pub const THREADS_MAX: usize = 64;

/// Connections at once by default: the classic ten thousand, at about a megabyte of slots. Fewer
/// where the descriptor limit has no room for them.
pub const CONNECTIONS_DEFAULT: u32 = 10_000;
/// Connections at most: far above the descriptors of one process (`fs.nr_open`, 2^20 by default),
/// far below the 32 bits of a token's index.
pub const CONNECTIONS_MAX: u32 = 1 << 24;

/// The longest frame when nobody says: room for any reasonable message, and a length field that was
/// read out of text (`GET ` is 1.1 GiB) is refused at once.
pub const FRAME_MAX_DEFAULT: usize = MIB;
/// The longest frame anybody may ask for: a frame is held whole, and its cursors stay within 32
/// bits.
pub const FRAME_MAX_MAX: usize = GIB;

/// The memory ceiling of all buffers together when nobody says: a quarter of the smallest machine
/// one would rent, and address space only until connections are busy.
pub const MEMORY_DEFAULT: usize = 256 * MIB;
/// The lowest ceiling: below this not even one connection has a useful buffer.
pub const MEMORY_MIN: usize = 64 * KIB;
/// The highest ceiling: more than machines have, and sums of sizes stay far from overflow.
pub const MEMORY_MAX: usize = 1024 * GIB;

/// How long a start waits for the lock of the directory of a local path. A start holds the lock for
/// some system calls; the bound is far above what a hundred starts at once take on a busy machine.
pub const PATH_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an end waits for the same lock. Other connections wait meanwhile, and a path that stays
/// behind is taken over by the next start.
pub const PATH_LOCK_TIMEOUT_AT_END: Duration = Duration::from_millis(100);
/// How often a process that waits for the lock tries again.
pub const PATH_LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Connections that wait to be accepted when nobody says: the kernel's own `net.core.somaxconn`
/// since Linux 5.4, to which it would cut a larger number.
pub const BACKLOG_DEFAULT: u32 = 4096;
/// The longest backlog: listen(2) takes an `int`.
pub const BACKLOG_MAX: u32 = i32::MAX as u32;

/// How long a peer may say nothing when nobody says: longer than any person thinks at a terminal,
/// shorter than dead peers may hold slots.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// How long a peer may hardly take anything of what it is owed: several retransmissions of a bad
/// line, not more, since it holds a workspace all the while.
pub const STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// What a peer must take of what it is owed within that time when nobody says, unless it takes all:
/// with half a kibibyte a second the worst of lines goes on, and who takes a byte now and then, to
/// hold a workspace, does not. What is taken is what the peer's kernel acknowledges: with a large
/// receive buffer it opens its window only a sixteenth of that at a time.
pub const STALL_SIZE_MIN_DEFAULT: usize = 16 * KIB;
/// How long a frame may take from its first byte to its last: a mebibyte at the speed of a bad
/// mobile line, and much less than an attacker who dribbles would like to hold a workspace.
pub const FRAME_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long an ending server waits for its last replies to be taken: what service managers grant
/// before they kill.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long a connection we have ended is read on before it is closed: a few round trips around the
/// world, so that the peer gets our last reply instead of a reset. While the kernel still holds
/// replies it is how often that is looked at, and the stall time-out counts, as before our FIN.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest span that can be asked for: a year. Whoever means never says `off`.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The shortest time-out: below the kernel's own tick, a peer is not late but scheduled.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// The shortest interval between two lines of statistics: a log that a person can still read.
pub const STATS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Silence after which the kernel probes whether the peer is still there (`TCP_KEEPIDLE`): a
/// machine that lost its power sends no FIN, and two hours, the kernel's default, is too long to
/// hold a slot.
pub const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long sent data or a probe may stay unacknowledged before the kernel gives the connection up
/// (`TCP_USER_TIMEOUT`).
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Events fetched by one wait: more than 32 gain nothing measurable, and a batch of this size is
/// three pages.
pub const EVENTS_PER_TURN: usize = 512;
/// Connections that are read from before the answers of all of them are sent: 8 gain 2 % of a
/// request, 64 half a per cent more, and each keeps those before it waiting for as long as one read
/// takes.
pub const ANSWERS_PER_PHASE: usize = 32;
/// Bytes of answers that are collected before they are sent. What is larger would be out of the
/// nearest cache again when its turn comes.
pub const ANSWERS_SIZE_PER_PHASE: usize = 32 << 10;
/// Reads, writes and the like for one connection at one event. A peer that could go on waits for
/// the others.
pub const OPERATIONS_PER_EVENT: usize = 16;
/// Bytes read for one connection at one event before the others get their turn; with a read of the
/// usual size this is four of them.
pub const BYTES_PER_EVENT: u64 = MIB as u64;
/// Frames answered for one connection at one event: of empty ones the bytes above are a million,
/// which take tens of milliseconds. So many take tens of microseconds, and there are hardly more
/// requests in flight on a connection.
pub const FRAMES_PER_EVENT: u64 = 2048;
/// Bytes of a request that count as one frame more where its answer is put together: the slowest
/// service, full upper case, takes a third of a microsecond for them.
pub const FRAME_WORK_SIZE: usize = 64;
/// Connections taken in at one event, so that a crowd at the door does not starve those inside.
pub const ACCEPTS_PER_TURN: u32 = 64;
/// How long the kernel may keep a connection that has sent nothing from a listener with
/// `--defer-accept` (`TCP_DEFER_ACCEPT`): a client that waits for the server to speak first is
/// delayed by this, more or less.
pub const DEFER_ACCEPT: Duration = Duration::from_secs(1);
/// The longest spin: beyond this a loop that never sleeps is meant, and should be said otherwise.
pub const SPIN_MAX: Duration = Duration::from_millis(100);
/// How long a listener rests at first when descriptors are out.
pub const LISTENER_PAUSE_MIN: Duration = Duration::from_millis(10);
/// How long it rests at most: whoever waits is served so soon after a descriptor is free, and ten
/// tries a second cost no measurable CPU.
pub const LISTENER_PAUSE_MAX: Duration = Duration::from_millis(100);
/// After what time a read or write is tried again for which the kernel had no memory (`ENOBUFS`,
/// `ENOMEM`); twice as long each further time. Nothing reports when there is some again.
pub const MEMORY_RETRY_MIN: Duration = Duration::from_millis(1);
/// How often it is tried again before the connection is closed: a second in all.
pub const MEMORY_RETRIES_MAX: u8 = 10;
/// Accepts that may fail in passing, one after the other, before the listener rests: an error that
/// leaves the connection in the queue (a firewall's `EPERM`) would be reported for ever.
pub const ACCEPT_ERRORS_MAX: u32 = 64;
/// After a signal that ends the server, how long the same one is taken for its echo: timeout(1)
/// sends it to its child and then to its group, microseconds apart, and nobody's fingers are so
/// fast.
pub const SIGNAL_ECHO: Duration = Duration::from_millis(20);
/// Signals taken in one turn: of each of the four kinds one can wait (signal(7)), and those that
/// arrive while they are taken must not keep the loop from its connections.
pub const SIGNALS_PER_TURN: usize = 8;
/// Lines about reloads that are written at once, of each kind; after them one a second. A person
/// who edits a file and reloads it sees every line, and a storm of SIGHUP does not fill the log.
pub const RELOAD_LINES_BURST: u32 = 4;
/// How long the ready line may wait for room on stdout before the loop starts: a script that reads
/// it is there within seconds, and a terminal that stands still must not keep clients waiting.
pub const READY_LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// When to try again to write a line that was not taken, or in part: a person does not notice the
/// delay, and twenty tries a second cost no measurable CPU.
pub const LINE_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the last lines on stderr may wait for room, when the loop has ended.
pub const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a server that shuts down goes on reading from a peer that does not stop talking.
pub const DRAIN_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Reads that a peer has even after that, if it could not be heard before: all that a receive
/// buffer holds, 32 MiB at most on a usual kernel, in reads of the usual size.
pub const DRAIN_READS_MIN: u8 = 64;

/// Bytes of the space that a read is offered, unless frames need more: messages of 1 MiB cost a
/// tenth less than with half of it and no more than with twice of it, and small ones touch only the
/// pages they fill.
pub const READ_SIZE: usize = 512 * KIB;
/// Bytes that a read may throw away at once, on the stack: whoever lingers has little left to say.
pub const DISCARD_SIZE: usize = 16 * KIB;
/// Bytes kept for answers of another length, at least: where messages have no boundary there is no
/// longest one, and where they are short those to many requests go out together.
pub const STREAM_REPLY_SIZE: usize = 256 * KIB;
/// Descriptors that are not connections: standard streams and what they are written through, the
/// epoll instance, signals, wake-up, the reserve, and some for the C library.
pub const DESCRIPTORS_FIXED: u64 = 16;
/// Of these the ones that whoever starts a program leaves open as a rule.
pub const STANDARD_STREAMS: u64 = 3;
/// Descriptors of each worker beside its listeners: epoll, alarm, wake-up, reserve.
pub const DESCRIPTORS_PER_WORKER: u64 = 4;
/// Memory of the program itself, counted into the ceiling: its text, the C library, the logger.
pub const PROGRAM_SIZE: usize = 4 * MIB;
/// Memory of a worker beside its slots and workspaces: the stack it uses, its batch of events.
pub const WORKER_SIZE: usize = 128 * KIB;

/// How long one connect may take by default: time for four SYNs, sent after 0, 1, 3 and 7 seconds,
/// to be answered. Linux itself gives up after 2 minutes and 11 seconds.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long to wait before connecting again to a local listener whose queue is full: unix(7) does
/// not report when there is room, and 100 tries a second cost no measurable CPU.
pub const CONNECT_QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// Addresses of one name that are tried: as many connect time-outs are the longest that a try can
/// take, 80 seconds by default. Names with more are those of large sites, where the first few fail
/// only together.
pub const NAME_ADDRESSES_MAX: usize = 8;
/// Tries of a client that is to go on trying: together with their pauses two minutes, in which a
/// server has restarted or will not.
pub const CONNECT_TRIES: u32 = 8;
/// The pause after the first try; each further one is twice as long.
pub const CONNECT_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest header of a length field, up to its end or to what is stripped: what lies before a
/// message that must fit in memory has no reason to be longer.
pub const HEADER_MAX: usize = KIB;
/// The longest delimiter: the boundary of a multipart message has at most 70 characters (RFC 2046,
/// 5.1.1), and those in use have 60 or fewer, dashes included.
pub const DELIMITER_MAX: usize = 64;
/// The longest delimiter that is compared anew at each place where it may begin. For more bytes the
/// search that remembers what it has compared costs less.
pub const DELIMITER_SHORT_MAX: usize = 8;
/// The largest correction of a length field in bytes, either way: beyond the longest frame it could
/// only ever refuse everything.
pub const LENGTH_ADJUST_MAX: i64 = GIB as i64;

/// Connections of the load generator when nobody says: enough that the server always has work.
pub const LOAD_CONNECTIONS_DEFAULT: usize = 50;
/// The least requests a second that an open loop may be asked for: one in a quarter of an hour.
pub const LOAD_RATE_MIN: f64 = 0.001;
/// The most: one a nanosecond, the clock's step.
pub const LOAD_RATE_MAX: f64 = 1e9;
/// Payload of a request when nobody says: the classic ping.
pub const LOAD_SIZE_DEFAULT: usize = 64;
/// The largest payload of a request: the generator holds a table of at least three.
pub const LOAD_SIZE_MAX: usize = 64 * MIB;
/// The payload of the largest datagram over IPv4: 65,535 bytes with the headers of IP (RFC 791,
/// 3.1) and UDP.
pub const DATAGRAM_SIZE_IPV4_MAX: usize = 65_535 - 20 - 8;
/// The same over IPv6, whose length field does not count its own header (RFC 8200, 3).
pub const DATAGRAM_SIZE_IPV6_MAX: usize = 65_535 - 8;
/// The longest path that is asked for in HTTP: its request line has the 8000 bytes that every
/// server should take (RFC 9112, 3).
pub const LOAD_PATH_MAX: usize = 8000 - "GET  HTTP/1.1".len();
/// The longest host: what DNS can name (RFC 1035, 2.3.4), with a port.
pub const LOAD_HOST_MAX: usize = 255 + ":65535".len();
/// The longest head of a reply in HTTP, the interim replies before it included, the longest trailer
/// and the longest line of a chunk size: as much as browsers take, and who sends more never ends.
pub const LOAD_HEAD_MAX: usize = 256 * KIB;
/// Requests in flight on one connection at most: the generator keeps a stamp for each.
pub const PIPELINE_MAX: usize = 1 << 16;
/// Requests in flight on all connections at most: their stamps are a quarter of a gibibyte, and as
/// many connections as there may be still have one each.
pub const IN_FLIGHT_MAX: usize = 1 << 24;
/// How long a run is measured when nobody says: long enough for a percentile, short enough to wait.
pub const LOAD_DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// The same for each run of a comparison, of which there are many.
pub const ROUND_DURATION_DEFAULT: Duration = Duration::from_secs(1);
/// How long a run warms up when nobody says.
pub const LOAD_WARMUP_DEFAULT: Duration = Duration::from_secs(1);
/// The same for each run of a comparison, whose servers have been warmed before.
pub const ROUND_WARMUP_DEFAULT: Duration = Duration::from_millis(200);
/// How long replies are waited for after the measured time when nothing else is asked for: the
/// usual time after which a person gives up.
pub const LOAD_GRACE_DEFAULT: Duration = Duration::from_secs(2);
/// A connection that has stood this long, or has brought a reply, is a kept one: when the server
/// closes it while nothing is in flight, it is opened again. One that ends sooner is an error, so
/// a server that closes at once is not connected to in a loop.
pub const LOAD_KEPT_MIN: Duration = Duration::from_millis(100);
/// Rounds of a comparison when nobody says: enough for an interval, half a minute in all.
pub const PAIRS_DEFAULT: usize = 10;
/// The fewest: one pair cannot tell how much pairs vary.
pub const PAIRS_MIN: usize = 2;

/// The longest text that `echo` puts in front of every message: a prompt, not a page.
pub const PREFIX_SIZE_MAX: usize = KIB;
/// The largest dictionary file: more words than any language has, and two of them, while one takes
/// the other's place, are still a small part of the memory that a server has by default.
pub const DICTIONARY_SIZE_MAX: usize = 4 * MIB;
/// How often a file is read that changes while it is read: with the pauses between them half a
/// second, in which an editor or a copy has come to its end.
pub const FILE_READS_MAX: u32 = 10;
/// The pause after the first of them; each further one is twice as long.
pub const FILE_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest translation: space for it is kept before the question is known.
pub const TRANSLATION_SIZE_MAX: usize = 4 * KIB;

/// Lines that `run` may be told to allow: a menu, not a shell.
pub const ALLOWED_MAX: usize = 256;
/// The longest of them.
pub const COMMAND_SIZE_MAX: usize = KIB;
/// Words of one of them at most: the array of pointers to them stands on the stack.
pub const COMMAND_WORDS_MAX: usize = 64;
/// How long a command may take, with all that it starts: a person still waits, and a place is free
/// again soon.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that a command may say: a listing, not a download, because they are kept until the peer
/// takes them.
pub const COMMAND_OUTPUT_MAX: usize = 64 * KIB;
/// Commands that one worker runs at once; who comes after them waits in order. Twice as many
/// descriptors belong to them.
pub const COMMANDS_MAX: usize = 64;
/// Bytes of output that are taken at once, on the stack.
pub const COMMAND_PIECE_SIZE: usize = 16 * KIB;
/// When to look again at a process whose end epoll does not report: it was killed and is still
/// dying, or epoll refused to watch it.
pub const COMMAND_REAP_PAUSE: Duration = Duration::from_millis(100);
/// Stack of a new process until it runs its program: a few frames of system calls, several times
/// over for builds without optimization. It is there for that moment alone.
pub const SPAWN_STACK_SIZE: usize = 32 * KIB;
/// Inherited children that are reaped in one turn: as many as commands a worker runs, so a crowd of
/// them delays the connections no longer than commands do.
pub const ORPHANS_PER_TURN: usize = COMMANDS_MAX;
/// The longest name of a peer, an IPv6 address with its scope and port, as `run` tells it.
pub const PEER_NAME_MAX: usize = 64;

/// The longest request line of HTTP. RFC 9112, 3 wants at least 8000 bytes to pass.
pub const HTTP_REQUEST_LINE_MAX: usize = 8 * KIB;
/// The longest head of an HTTP request, its request line included, and the longest trailer of a
/// chunked body: what a browser with all its cookies sends, and a little more.
pub const HTTP_HEAD_MAX: usize = 16 * KIB;
/// The longest body of an HTTP request. It is read and dropped, so this bounds only patience.
pub const HTTP_BODY_MAX: u64 = MIB as u64;
/// The longest line that announces a chunk, its extensions included, which nobody uses.
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
    // An end that waits for a lock is still far from the end of its drain.
    assert!(PATH_LOCK_TIMEOUT_AT_END.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(1 <= BACKLOG_DEFAULT && BACKLOG_DEFAULT <= BACKLOG_MAX);
    // Every worker must be able to hold a connection.
    assert!(THREADS_MAX <= CONNECTIONS_DEFAULT as usize);

    // The head of a request has room for its longest part, and lies whole in what a read fills.
    assert!(HTTP_REQUEST_LINE_MAX <= HTTP_HEAD_MAX && HTTP_HEAD_MAX < READ_SIZE);
    assert!(HTTP_CHUNK_LINE_MAX <= HTTP_HEAD_MAX);
    // What our own server takes of a client, its own client takes of others.
    assert!(HTTP_HEAD_MAX <= LOAD_HEAD_MAX);
    // A command ends before the drain that waits for it does, and a peer that waits for one is not
    // taken for idle.
    assert!(COMMAND_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    // All that a command says, and what is said about it, has room among answers without bounds;
    // and a piece of it, and all the places, in what a worker takes.
    assert!(COMMAND_OUTPUT_MAX + KIB <= STREAM_REPLY_SIZE);
    assert!(COMMAND_PIECE_SIZE + COMMANDS_MAX * 256 <= WORKER_SIZE / 2);
    assert!(SPAWN_STACK_SIZE <= WORKER_SIZE / 2);
    // Offsets into a dictionary fit 32 bits, and two of them a small server.
    assert!(4 * DICTIONARY_SIZE_MAX <= MEMORY_DEFAULT / 8);

    // Cursors into a frame, and a frame together with the header in front of it, fit 32 bits.
    assert!(FRAME_MAX_DEFAULT <= FRAME_MAX_MAX && FRAME_MAX_MAX <= (u32::MAX / 2) as usize);
    assert!(MEMORY_MIN <= MEMORY_DEFAULT && MEMORY_DEFAULT <= MEMORY_MAX);
    // By default each of the most workers can hold two of the longest requests and their replies.
    assert!(THREADS_MAX * 2 * 2 * FRAME_MAX_DEFAULT <= MEMORY_DEFAULT);

    // A lingering connection that has taken everything ends before the drain it is part of does.
    assert!(LINGER_TIMEOUT.as_millis() < DRAIN_TIMEOUT_DEFAULT.as_millis());
    // A frame whose peer is merely slow is not taken for idle.
    assert!(FRAME_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    // The tries for memory end before a peer could be said to stall.
    let memory_retries_ms = MEMORY_RETRY_MIN.as_millis() << MEMORY_RETRIES_MAX;
    assert!(memory_retries_ms < STALL_TIMEOUT_DEFAULT.as_millis());
    // What must be taken in time was also sent in time: it is no more than a frame may hold.
    assert!(1 <= STALL_SIZE_MIN_DEFAULT && STALL_SIZE_MIN_DEFAULT <= FRAME_MAX_DEFAULT);
    // A peer that stalls, or is gone, is noticed before one that is merely silent.
    assert!(STALL_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(KEEPALIVE.as_millis() + USER_TIMEOUT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    // What is asked for by default could have been asked for.
    assert!(TIMEOUT_MIN.as_millis() <= DRAIN_TIMEOUT_DEFAULT.as_millis());
    assert!(IDLE_TIMEOUT_DEFAULT.as_millis() <= TIMEOUT_MAX.as_millis());
};
