//! Every bound and every default of the program, each with its reason.
//!
//! A number that limits what the program takes, holds or waits for is defined here, so that a
//! reader sees at once what it does and does not accept, and the numbers can be compared with each
//! other: the compiler checks the assertions below. Numbers of a format stand with the format. A
//! *default* applies when an option is not given. A *max* or *min* bounds what an option may ask
//! for. Limits that the kernel enforces by itself are not repeated.
//!
//! This is the lowest layer: it imports nothing from this crate, and every layer may import it.
//! The files are one for each subject: `server`, `load` with the other clients, `http`, `command`,
//! `ftp`, `tls`.
//! Man pages: listen(2), tcp(7), proc(5).

mod command;
#[cfg(feature = "auth")]
mod ftp;
mod http;
mod load;
mod server;
mod tls;

pub use command::*;
#[cfg(feature = "auth")]
pub use ftp::*;
pub use http::*;
pub use load::*;
pub use server::*;
pub use tls::*;

/// One kibibyte: sizes on the command line count in powers of 1024, as memory does.
pub const KIB: usize = 1 << 10;
/// One mebibyte.
pub const MIB: usize = 1 << 20;
/// One gibibyte.
pub const GIB: usize = 1 << 30;

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
    assert!(PROCESSES_MAX * THREADS_MAX <= CONNECTIONS_DEFAULT as usize);
    assert!(ALIVE_MIN.as_millis() <= ALIVE_DEFAULT.as_millis());
    assert!(ALIVE_DEFAULT.as_millis() <= ALIVE_MAX.as_millis());
    assert!(PROCESS_PAUSE_MIN.as_millis() <= PROCESS_PAUSE_MAX.as_millis());
    // A process that is started again after the longest pause and lives on is forgotten.
    assert!(PROCESS_PAUSE_MAX.as_millis() < PROCESS_LIFE_MIN.as_millis());

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
