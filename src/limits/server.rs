//! Bounds and defaults of the server: connections, frames, memory, time-outs, work per turn.
//!
//! Some hold for the clients as well: the sizes of frames, and how standard streams are written.
//! Man pages: listen(2), tcp(7), socket(7), signal(7).

use std::time::Duration;

use super::{GIB, KIB, MIB};

/// Default listen address: this machine only. Attackers can bounce traffic off an echo server that
/// the whole network reaches.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7007";

/// Default number of workers. One worker saturates a core with echo traffic, and a second, idle one
/// costs it 1.5 %.
pub const THREADS_DEFAULT: usize = 1;
/// Largest number of workers. Each has its own listener, slots and pool. More workers than the
/// cores of a large machine only divide the same memory.
pub const THREADS_MAX: usize = 64;

/// Largest number of worker processes. Each takes the memory of a program.
pub const PROCESSES_MAX: usize = 64;
/// Default time between two reports of a worker process that it is alive: a few microseconds of
/// work each, and a process that hangs is replaced before a person has found out.
pub const ALIVE_DEFAULT: Duration = Duration::from_secs(1);
/// Shortest time between two such reports. Below it, scheduling alone makes a worker silent.
pub const ALIVE_MIN: Duration = Duration::from_millis(10);
/// Longest time between two such reports: a person has found out by then.
pub const ALIVE_MAX: Duration = Duration::from_secs(60 * 60);
/// Reports that a worker process may leave out before it is killed. One may be late because the
/// machine is busy; five in a row mean that the loop does not turn.
pub const ALIVE_MISSES: u32 = 5;
/// How long a worker process may take from its fork until it serves: it touches its memory and
/// opens a few descriptors.
pub const PROCESS_START_MAX: Duration = Duration::from_secs(10);
/// Second pause before a worker process is started again; the first is none. Each further pause is
/// twice as long.
pub const PROCESS_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause before a worker process is started again: when the cause is gone, the server is
/// complete within half a minute.
pub const PROCESS_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Life of a worker process after which earlier deaths in its place are forgotten.
pub const PROCESS_LIFE_MIN: Duration = Duration::from_secs(60);
/// How long a line of statistics waits for the counts of every worker process. The last counts of
/// one that does not answer are used instead.
pub const PROCESS_COUNTS_MAX: Duration = Duration::from_secs(1);
/// How long worker processes may take to end at once, before they are killed: they first end the
/// commands that they have started.
pub const PROCESS_STOP_MAX: Duration = Duration::from_secs(1);
/// How often the service manager may be told a new status: as often as a person looks.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than the drain time-out a worker process may drain, before it is killed: it may
/// begin late and needs time to end.
pub const PROCESS_DRAIN_GRACE: Duration = Duration::from_secs(3);
/// Messages taken from one worker process in a row, so that a process that floods its supervisor
/// does not keep it from the others.
pub const PROCESS_MESSAGES_MAX: usize = 64;

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
/// The same for a listener that several workers share: few, so that a burst of connections is
/// spread over the workers that it has woken.
pub const ACCEPTS_PER_TURN_SHARED: u32 = 4;
/// Connections that may be on their way to one worker under `--accept handoff`: four bytes each.
/// A worker so far behind is skipped.
pub const HANDOFF_QUEUE_MAX: usize = 1024;
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
/// Tasks that may wait for a loop. The loop runs all of them at its next wake-up, so the bound is
/// also that of the work between two batches of events. A thread that is refused is faster than the
/// loop, and a longer queue would only be longer.
pub const TASKS_MAX: usize = 1024;
/// Timers of one loop. Each has at most one callback per turn. The deadlines of connections are not
/// among them.
pub const TIMERS_MAX: usize = 256;
/// Shortest interval of a repeating timer. Below the kernel's own tick it would be late each time,
/// and an interval of 0 would keep the loop from sleeping.
pub const TIMER_INTERVAL_MIN: Duration = TIMEOUT_MIN;
/// Lines about reloads that are written at once, of each kind; after them one a second. An edit
/// and a reload by hand show every line, and a storm of SIGHUP does not fill the log.
pub const RELOAD_LINES_BURST: u32 = 4;
/// How long the ready line may wait for room on stdout before the loop starts: a script that reads
/// it is there within seconds, and a terminal that stands still must not keep clients waiting.
pub const READY_LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// When to try again to write a line that was not taken, or in part: a person does not notice the
/// delay, and twenty tries a second cost no measurable CPU.
pub const LINE_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Largest rate, and largest burst, in bytes (a second): more than any interface carries. Counted
/// from the start of the machine, 64 bits last for eight years of this rate.
pub const RATE_MAX: u64 = 64 * GIB as u64;
/// Largest burst of a rate for which no burst is given. A larger one would hide the limit from a
/// client that takes a few seconds.
pub const RATE_BURST_DEFAULT_MAX: u64 = MIB as u64;
/// Grants that a rate is cut into, per second. A hundred connections under one total then have two
/// or three turns each second, and a turn costs as much as 256 wake-ups a second.
pub const GRANTS_PER_SECOND: u64 = 256;
/// Smallest grant. A smaller one would cost more system calls than it moves bytes.
pub const GRANT_SIZE_MIN: u64 = 64;
/// Largest grant. A larger one makes no read or write cheaper.
pub const GRANT_SIZE_MAX: u64 = 64 * KIB as u64;
/// Rows of hex in one line of the wiretap. With them a line takes less than 4 KiB, and a pipe takes
/// that whole or not at all (pipe(7), `PIPE_BUF`).
pub const WIRETAP_ROWS_PER_LINE: usize = 48;
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
/// Receives, or sends, that `--submit ring` makes in one system call: as many as
/// [`ANSWERS_PER_PHASE`], behind which each further connection delays those before it. With
/// batches of 64 a request costs as much, and with batches of 16 it costs 1 % more.
pub const RING_CALLS: usize = ANSWERS_PER_PHASE;
/// The smallest batch that goes through the ring. Below that, the two calls of io_uring_enter cost
/// more than they save: on a machine whose empty system call takes 105 ns, a batch of 4 costs 6 %
/// more than plain calls, one of 8 4 % more, one of 16 1 % more, and one of 32 0.3 % less. Where an
/// empty call takes 170 ns, one of 8 costs as much.
pub const RING_CALLS_MIN: usize = 16;
/// Descriptors of a worker's submission ring.
pub const RING_DESCRIPTORS: u64 = 1;
/// Memory of a submission ring in this process: two mappings, each within one page of the largest
/// size that Linux has, 64 KiB.
pub const RING_SIZE: usize = 2 * 64 * KIB;
/// Memory of the program itself, counted towards the ceiling: its text, the C library, the logger.
pub const PROGRAM_SIZE: usize = 4 * MIB;
/// Memory of a worker in addition to its slots and workspaces: the stack it uses and its batch of
/// events.
pub const WORKER_SIZE: usize = 128 * KIB;

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

/// Longest header of version 1 of the PROXY protocol, its line feed included: the bound of the
/// specification.
pub const PROXY_LINE_MAX: usize = 107;
/// Longest header of version 2. The longest addresses take 232 bytes, and what a load balancer adds
/// (a name, an identifier, the certificate of a client) a few hundred to two thousand. The
/// specification allows 65,551 bytes, which a peer could make the server hold for each connection.
pub const PROXY_HEADER_MAX: usize = 4 * KIB;
/// Tries to get the lock of counts that threads and processes share. It is held for a microsecond
/// for each thousand connections; longer only by a process that was killed or stopped.
pub const SHARED_COUNTS_TRIES: u32 = 10_000;
/// Ranges of `--proxy-from`. Each is looked at for each new connection.
pub const PROXY_RANGES_MAX: usize = 64;

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

/// Span from which a deadline is left to the timer. A shorter one is passed to the wait itself: it
/// is likely to expire, and the wait is exact.
pub const TIMER_SPAN_MIN: Duration = Duration::from_millis(10);

/// Bytes that the thread of a standard stream copies at once: one page.
pub const OUTLET_PIECE_SIZE: usize = 4 * KIB;
/// Interval of the checks whether the thread of a standard stream has written everything: the end
/// of the program waits for it, and a person does not notice the delay.
pub const OUTLET_PAUSE: Duration = Duration::from_millis(1);
/// How long one wait for room on a standard stream lasts, after which signals are looked for.
pub const LINE_WAIT_MAX: Duration = Duration::from_millis(20);

/// Threads of a pool by default: a few for each processor of a small machine.
pub const POOL_THREADS_DEFAULT: usize = 8;
/// Most threads of a pool: many times the processors of a large machine.
pub const POOL_THREADS_MAX: usize = 4096;
/// Accepted connections that wait for a thread of the pool, by default: the usual backlog of old.
pub const POOL_QUEUE_DEFAULT: u32 = 128;
/// Stack of a thread that serves one connection: several times what the deepest call needs in a
/// build without optimization, two buffers of 16 KiB included.
pub const BLOCKING_STACK_SIZE: usize = 128 * KIB;
/// Bytes that such a thread reads at once: as much as a pipe holds. One connection gains little
/// from more, and each has its own space.
pub const BLOCKING_READ_SIZE: usize = 64 * KIB;
/// Other memory of such a thread: its table of one slot, its events, and what the C library keeps
/// of a thread.
pub const BLOCKING_THREAD_SIZE: usize = 48 * KIB;
/// Memory of a process that serves one connection, without its workspace: its page tables, its
/// stack, and the pages of its parent that it has changed.
pub const FORK_PROCESS_SIZE: usize = 512 * KIB;
/// How long the processes of connections have to end by themselves when the server ends at once.
pub const FORK_END_TIMEOUT: Duration = Duration::from_millis(200);
/// Interval at which their ends are looked for meanwhile.
pub const FORK_END_PAUSE: Duration = Duration::from_millis(1);
/// Memory of a connection that is handed out, without its thread or process: its places in lists.
pub const BLOCKING_SLOT_SIZE: usize = 96;
/// How long a peer may take to answer the challenge of `--auth`, if the frame time-out is longer:
/// no person types a digest.
pub const DIGEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `connect --auth` waits for a refusal before it ends its stream: a round trip, and time
/// for a busy server.
pub const VERDICT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest text of `/metrics`: several times what all counters take.
pub const METRICS_PAGE_MAX: usize = 64 * KIB;
/// Connections for the pages of `--metrics`. One program scrapes, and a few more look now and then.
pub const SCRAPES_MAX: usize = 8;
/// Workspaces for them. Each page is short, so a third connection hardly ever waits.
pub const SCRAPE_WORKSPACES: usize = 2;
/// Memory of the pages, as the ceiling counts it: the workspaces with room for two requests and two
/// pages, the page that is being written, and what any worker takes.
pub const SCRAPES_SIZE: usize = SCRAPE_WORKSPACES * 2 * (super::HTTP_HEAD_MAX + METRICS_PAGE_MAX)
    + METRICS_PAGE_MAX
    + WORKER_SIZE;
/// Longest silence, request and answer of such a connection.
pub const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often late ones among them are looked for while there are any.
pub const SCRAPE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Turns of their server at one event of the loop. A scrape takes three.
pub const SCRAPE_TURNS_MAX: u32 = 32;
/// Descriptors of the pages: the poller twice, its timer and wake-up, the listener, the reserve,
/// and the connections.
pub const SCRAPE_DESCRIPTORS: u64 = 6 + SCRAPES_MAX as u64;

/// Longest path of a local socket, without the NUL that ends it: `sun_path` of unix(7).
pub const SOCKET_PATH_MAX: usize = 107;
/// Descriptors that one message to another process carries at most. The kernel allows 253
/// (SCM_MAX_FD of unix(7)).
pub const PASSED_PER_MESSAGE: usize = 64;
/// Connections that one message passes to another process at most. The process that gets them must
/// have so many free descriptors at once.
pub const CONNECTIONS_PER_MESSAGE: usize = 16;
/// Messages with connections that a worker sends or takes in one turn: those that are not passed
/// yet are served between two turns.
pub const TAKEOVER_MESSAGES_PER_TURN: usize = 16;
/// Largest message of a takeover: so many connections, each with the longest name of a client.
pub const TAKEOVER_MESSAGE_MAX: usize = 4 * KIB;
/// Processes that may wait at the doorway at the same time. One is served, and the others are told
/// so.
pub const TAKEOVER_BACKLOG: u32 = 8;
/// How long a new process may take from its connect until it says what it wants: it says so at
/// once.
pub const TAKEOVER_HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the running process may take for an answer: a few turns of its loop.
pub const TAKEOVER_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new process may take from the offer until it serves: it reads its files and reserves
/// its memory. Meanwhile the running process serves.
pub const TAKEOVER_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before connections are passed again for which the other process had no room, or before
/// room is looked for.
pub const TAKEOVER_PAUSE: Duration = Duration::from_millis(5);

/// Largest datagram that is received whole: IP carries no larger one (RFC 768). A local socket
/// does, and such a datagram counts as truncated.
pub const DATAGRAM_SIZE_MAX: usize = 64 * KIB;
/// Datagrams that are received in one call and answered in one call, at one event. Each place has
/// 64 KiB. What another number would cost has not been measured.
pub const DATAGRAMS_PER_BATCH: usize = 32;
/// Room for the replies of one batch that are not in the bytes of their requests: more than the
/// longest reply that a datagram can carry.
pub const DATAGRAM_REPLIES_SIZE: usize = 128 * KIB;
/// Datagrams of one worker whose commands wait or run at the same time; others are dropped. Each
/// has room for its whole answer.
pub const DATAGRAM_COMMANDS_MAX: usize = 8;
/// Failed receives of a datagram socket in a row after which it pauses: an error that stays would
/// otherwise be reported forever.
pub const DATAGRAM_ERRORS_MAX: u32 = 64;
/// Ports whose datagrams are not answered: echo (RFC 862) and chargen (RFC 864) answer in turn, and
/// two such servers would never end.
pub const DATAGRAM_LOOP_PORTS: [u16; 2] = [7, 19];

/// Records that `--trace` keeps by default: some seconds of a busy server, and a page that stays
/// fluid.
pub const TRACE_RECORDS_DEFAULT: usize = 100_000;
/// Most records of a trace. No page and no reader of a trace is of use with more.
pub const TRACE_RECORDS_MAX: usize = 10_000_000;
/// Bytes that a record keeps of what moved, of an address, or of events: a line of text, and five
/// events.
pub const TRACE_BYTES_EACH: usize = 64;
/// Bytes for each record of a trace that holds all that moved: the mean, because they share one
/// space. Records whose bytes were overwritten keep their number.
pub const TRACE_PAYLOAD_EACH: usize = 256;
/// Least space for all that moved: a few large reads, however few records are kept.
pub const TRACE_PAYLOAD_MIN: usize = MIB;
