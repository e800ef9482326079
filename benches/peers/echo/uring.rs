//! io_uring as it is meant to be used: one multishot accept, one multishot receive per connection
//! into buffers that all connections share, and completions processed by this thread alone.
//!
//! Received bytes are sent from the buffer they arrived in, which then returns to the kernel. A
//! connection has one send in flight, because two sends could complete out of order. The second
//! variant has its sockets in a table of registered files and no descriptors at all, which saves a
//! look-up for each operation. See io_uring(7), io_uring_setup_buf_ring(3),
//! io_uring_register_files_sparse(3).

use std::alloc::{self, Layout};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

const BUFFERS: u16 = 512;
const BUFFER_SIZE: usize = 16 << 10;
const GROUP: u16 = 0;
const PAGE_SIZE: usize = 4096;

/// Places in the table of registered files.
const FILES: u32 = 16 << 10;

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

/// Whether this kernel supports and permits all operations used here.
///
/// # Errors
///
/// The error of the kernel.
pub(crate) fn available() -> io::Result<()> {
    Buffers::new(&ring()?).map(drop)
}

pub(super) fn serve(listener: TcpListener, registered: bool) -> io::Result<()> {
    let ring = ring()?;
    let buffers = Buffers::new(&ring)?;
    if registered {
        ring.submitter().register_files_sparse(FILES)?;
    }
    let mut server = Server {
        ring,
        buffers,
        registered,
        connections: Vec::new(),
        starved: Vec::new(),
    };
    let door = listener.into_raw_fd();
    // Accepted sockets have the options of their listener (tcp(7)).
    set_nodelay(door);
    let accept = || {
        let accept = opcode::AcceptMulti::new(Fd(door));
        accept.allocate_file_index(registered).build()
    };
    server.submit(accept().user_data(ACCEPT));
    let mut done = Vec::new();
    loop {
        server.ring.submit_and_wait(1)?;
        done.extend(server.ring.completion());
        for entry in done.drain(..) {
            let socket = (entry.user_data() >> 8) as i32;
            match entry.user_data() & 0xff {
                ACCEPT => {
                    if !cqueue::more(entry.flags()) {
                        server.submit(accept().user_data(ACCEPT));
                    }
                    server.accepted(entry.result());
                }
                RECEIVE => server.received(socket, &entry),
                SEND => server.sent(socket, entry.result()),
                _ => {}
            }
        }
    }
}

fn ring() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4096)
        .build(1024)
}

/// Received bytes that are not sent yet, in order: buffer, start, end.
#[derive(Default)]
struct Connection {
    unsent: VecDeque<(u16, usize, usize)>,
    ended: bool,
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    /// The number of a socket is a place in the table of files, and not a descriptor.
    registered: bool,
    connections: Vec<Connection>,
    /// Connections whose receive ended because no buffer was free.
    starved: Vec<i32>,
}

impl Server {
    fn submit(&mut self, entry: squeue::Entry) {
        // SAFETY: an entry points to a buffer of `self.buffers`, which is never freed, or to
        // nothing.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // The queue is full: submit it, so that the kernel makes room.
            let _ = self.ring.submit();
        }
    }

    fn accepted(&mut self, socket: i32) {
        let Ok(place) = usize::try_from(socket) else {
            return;
        };
        let count = self.connections.len().max(place + 1);
        self.connections.resize_with(count, Connection::default);
        self.receive(socket);
    }

    fn receive(&mut self, socket: i32) {
        let entry = match self.registered {
            true => opcode::RecvMulti::new(Fixed(socket as u32), GROUP).build(),
            false => opcode::RecvMulti::new(Fd(socket), GROUP).build(),
        };
        self.submit(entry.user_data(RECEIVE | (socket as u64) << 8));
    }

    fn received(&mut self, socket: i32, entry: &cqueue::Entry) {
        let connection = &mut self.connections[socket as usize];
        let more = cqueue::more(entry.flags());
        match (
            usize::try_from(entry.result()),
            cqueue::buffer_select(entry.flags()),
        ) {
            (Ok(count @ 1..), Some(buffer)) => {
                connection.unsent.push_back((buffer, 0, count));
                let waits = connection.unsent.len() > 1;
                if !more {
                    self.receive(socket);
                }
                if !waits {
                    self.send(socket);
                }
            }
            _ if entry.result() == -libc::ENOBUFS => self.starved.push(socket),
            _ => {
                connection.ended = true;
                self.close_if_done(socket);
            }
        }
    }

    fn send(&mut self, socket: i32) {
        let Some(&(buffer, from, to)) = self.connections[socket as usize].unsent.front() else {
            return;
        };
        let bytes = &self.buffers.bytes(buffer)[from..to];
        let (start, length) = (bytes.as_ptr(), bytes.len() as u32);
        let send = match self.registered {
            true => opcode::Send::new(Fixed(socket as u32), start, length),
            false => opcode::Send::new(Fd(socket), start, length),
        };
        let entry = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        self.submit(entry.user_data(SEND | (socket as u64) << 8));
    }

    fn sent(&mut self, socket: i32, result: i32) {
        let unsent = &mut self.connections[socket as usize].unsent;
        let Some((buffer, from, to)) = unsent.pop_front() else {
            return;
        };
        match usize::try_from(result) {
            Ok(count) if from + count < to => unsent.push_front((buffer, from + count, to)),
            Ok(_) => self.buffers.give_back(buffer),
            Err(_) => {
                self.buffers.give_back(buffer);
                for (buffer, ..) in unsent.drain(..) {
                    self.buffers.give_back(buffer);
                }
            }
        }
        self.send(socket);
        if let Some(hungry) = self.starved.pop() {
            self.receive(hungry);
        }
        self.close_if_done(socket);
    }

    fn close_if_done(&mut self, socket: i32) {
        let connection = &mut self.connections[socket as usize];
        if connection.ended && connection.unsent.is_empty() {
            connection.ended = false;
            if self.registered {
                let entry = opcode::Close::new(Fixed(socket as u32)).build();
                return self.submit(entry.user_data(CLOSE));
            }
            // SAFETY: this server owns the descriptor, its receive has ended and no send is in
            // flight.
            unsafe { libc::close(socket) };
        }
    }
}

fn set_nodelay(socket: i32) {
    let on = 1_i32;
    let (value, size) = (&raw const on, size_of::<i32>() as u32);
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    // SAFETY: `value` points to `size` bytes that outlive the call. A failure costs only speed.
    unsafe { libc::setsockopt(socket, level, name, value.cast(), size) };
}

/// The shared buffers, and the ring from which the kernel takes them.
struct Buffers {
    memory: Vec<u8>,
    ring: *mut BufRingEntry,
    tail: u16,
}

impl Buffers {
    fn new(uring: &IoUring) -> io::Result<Buffers> {
        let size = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(size, PAGE_SIZE).map_err(io::Error::other)?;
        // SAFETY: the size of the layout is not 0. The memory is never freed, because the kernel
        // keeps using it.
        let ring: *mut BufRingEntry = unsafe { alloc::alloc_zeroed(layout) }.cast();
        if ring.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let submitter = uring.submitter();
        // SAFETY: the ring is page-aligned, zeroed, has BUFFERS entries and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, BUFFERS, GROUP, 0) }?;
        let mut buffers = Buffers {
            memory: vec![0; usize::from(BUFFERS) * BUFFER_SIZE],
            ring,
            tail: 0,
        };
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        Ok(buffers)
    }

    fn bytes(&self, buffer: u16) -> &[u8] {
        &self.memory[usize::from(buffer) * BUFFER_SIZE..][..BUFFER_SIZE]
    }

    /// Gives a buffer back to the kernel.
    fn give_back(&mut self, buffer: u16) {
        let address = self.bytes(buffer).as_ptr() as u64;
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `place` is below BUFFERS, the number of entries of the ring.
        let entry = unsafe { self.ring.add(place) };
        // SAFETY: the kernel does not read entries from the tail on, and this is the entry at the
        // tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(BUFFER_SIZE as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `ring` points to the first entry of a ring that was initialised with zeros.
        let tail = unsafe { BufRingEntry::tail(self.ring) };
        // SAFETY: the tail is two aligned bytes. Only this thread writes them; the kernel reads
        // them.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
