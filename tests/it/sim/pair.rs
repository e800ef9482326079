//! A connection inside the simulated kernel: two ends and the bytes in flight between them.
//!
//! It does not know descriptors, epoll or the owners of its ends: bytes, FIN and RST in, answers
//! and wake-ups out. Loopback is synchronous, so everything has arrived when a call returns, except
//! bytes that wait in the send buffer because the receive buffer is full. These bytes are *unsent*:
//! a FIN waits behind them, and a RST destroys them. Which end sees what, in which order, was
//! measured on Linux 6.18 and is checked by tests/it/sim_kernel.rs. Invariant: an end that is
//! `dead` (it received RST, or was refused) takes nothing and gives only bytes received before.
//! tcp(7); tcp_poll, tcp_recvmsg and tcp_reset in net/ipv4 are the model.

use std::collections::VecDeque;

use libc::{EAGAIN, ECONNRESET, ENOTCONN, EPIPE};
use mynah::kernel::{Address, Readiness};

/// The two buffers of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Pipe {
    /// Capacity of the send buffer, used while the receive buffer is full.
    pub send: usize,
    /// Capacity of the receive buffer.
    pub receive: usize,
}

/// The owner of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The descriptor with this number.
    Descriptor(u32),
    /// The test.
    Peer,
    /// The queue of a listener.
    Queue,
    /// Closed: no owner.
    Closed,
}

/// One end.
pub(super) struct End {
    pub(super) owner: Owner,
    /// Bytes that the other end wrote and this end has not read. The first `pipe.receive` bytes
    /// have arrived.
    inbound: VecDeque<u8>,
    pipe: Pipe,
    /// This end's direction is shut: its FIN is sent, or follows the unsent bytes.
    pub(super) shut: bool,
    /// The other end's FIN has arrived.
    pub(super) fin: bool,
    /// RST has arrived.
    pub(super) dead: bool,
    /// `SO_ERROR`.
    pub(super) error: Option<i32>,
    /// `SOCK_NOSPACE`: a writer found no room and is to be woken when there is room.
    pub(super) no_space: bool,
    /// The pending wake-up of this end: none, a wake-up for interest in these bits, or (no bits) a
    /// wake-up for any registration.
    wake: Option<Readiness>,
}

impl End {
    fn new(owner: Owner, pipe: Pipe) -> End {
        assert!(
            pipe.send > 0 && pipe.receive > 0,
            "a pipe of size 0 carries nothing"
        );
        let (shut, fin, dead, no_space) = (false, false, false, false);
        let (inbound, error, wake) = (VecDeque::new(), None, None);
        End {
            owner,
            inbound,
            pipe,
            shut,
            fin,
            dead,
            error,
            no_space,
            wake,
        }
    }

    pub(super) fn readable(&self) -> usize {
        self.inbound.len().min(self.pipe.receive)
    }

    /// Bytes written to this end that it has not read.
    pub(super) fn held(&self) -> usize {
        self.inbound.len()
    }

    /// Bytes written to this end for which its receive buffer had no room.
    pub(super) fn unacknowledged(&self) -> usize {
        self.inbound.len() - self.readable()
    }

    /// Bytes that may still be written to this end.
    fn room(&self) -> usize {
        self.pipe.send + self.pipe.receive - self.inbound.len()
    }

    /// Whether the writer to this end is told of room. Linux waits until a third of the send buffer
    /// is free.
    fn has_room(&self) -> bool {
        let free = self.pipe.send - self.unacknowledged();
        free > 0 && free * 3 >= self.pipe.send
    }

    /// Both directions have ended. Calls on the connection fail with ENOTCONN.
    pub(super) fn is_over(&self) -> bool {
        self.dead || (self.shut && self.fin)
    }

    /// Wakes a registration that asked for one of `bits`, or any registration if there are no bits.
    fn wake(&mut self, bits: Readiness) {
        self.wake = match self.wake {
            Some(Readiness::NONE) => Some(Readiness::NONE),
            Some(before) if bits != Readiness::NONE => Some(before | bits),
            _ => Some(bits),
        };
    }
}

/// A connection. End 0 connected, end 1 is accepted.
pub(super) struct Pair {
    /// Distinguishes this connection from earlier ones in the same place; 0 if the place is vacant.
    pub(super) serial: u64,
    pub(super) ends: [End; 2],
    pub(super) addresses: [Address; 2],
    /// The SYN is not answered yet. End 1 has no owner.
    pub(super) connecting: bool,
}

impl Pair {
    /// A connection in SYN_SENT. `pipes` are those from and to its end 0.
    pub(super) fn new(
        serial: u64,
        owner: Owner,
        pipes: [Pipe; 2],
        addresses: [Address; 2],
    ) -> Pair {
        let [request, reply] = pipes;
        let ends = [End::new(owner, reply), End::new(Owner::Closed, request)];
        Pair {
            serial,
            ends,
            addresses,
            connecting: true,
        }
    }

    /// Starts another connection in the place and memory of a finished one.
    pub(super) fn renew(
        &mut self,
        serial: u64,
        owner: Owner,
        pipes: [Pipe; 2],
        addresses: [Address; 2],
    ) {
        let spent = std::mem::replace(self, Pair::new(serial, owner, pipes, addresses));
        for (end, spent) in self.ends.iter_mut().zip(spent.ends) {
            end.inbound = spent.inbound;
            end.inbound.clear();
        }
    }

    pub(super) fn establish(&mut self, owner: Owner) {
        self.connecting = false;
        self.ends[1].owner = owner;
        self.ends[0].wake(Readiness::NONE);
    }

    pub(super) fn refuse(&mut self, errno: i32) {
        self.connecting = false;
        self.die(0, errno);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.ends.iter().all(|end| end.owner == Owner::Closed)
    }

    /// Takes the pending wake-up of an end.
    pub(super) fn take_wake(&mut self, side: usize) -> Option<Readiness> {
        self.ends[side].wake.take()
    }

    /// Gives bytes first, then the end of the stream, then the error once.
    pub(super) fn read(&mut self, side: usize, space: &mut [u8]) -> Result<usize, i32> {
        let end = &mut self.ends[side];
        let arrived = end.readable();
        if arrived == 0 {
            return match end.error {
                _ if self.connecting => Err(EAGAIN),
                _ if end.fin => Ok(0),
                Some(errno) => {
                    end.error = None;
                    Err(errno)
                }
                None if end.dead => Ok(0),
                None => Err(EAGAIN),
            };
        }
        let count = arrived.min(space.len());
        let (front, back) = end.inbound.as_slices();
        let cut = count.min(front.len());
        space[..cut].copy_from_slice(&front[..cut]);
        space[cut..count].copy_from_slice(&back[..count - cut]);
        let had_unsent = end.unacknowledged() > 0;
        end.inbound.drain(..count);
        if had_unsent {
            end.wake(Readiness::IN);
            self.arrive_fin(side);
        }
        let has_room = self.ends[side].has_room();
        let writer = &mut self.ends[1 - side];
        if writer.no_space && has_room {
            writer.no_space = false;
            writer.wake(Readiness::OUT);
        }
        Ok(count)
    }

    pub(super) fn write(&mut self, side: usize, bytes: &[u8]) -> Result<usize, i32> {
        let [a, b] = &mut self.ends;
        let (writer, reader) = if side == 0 { (a, b) } else { (b, a) };
        if self.connecting {
            return Err(EAGAIN);
        }
        if writer.shut || writer.dead {
            return Err(writer.error.take().unwrap_or(EPIPE));
        }
        let count = bytes.len().min(reader.room());
        writer.no_space |= count < bytes.len();
        if bytes.is_empty() {
            return Ok(0);
        }
        if count == 0 {
            return Err(EAGAIN);
        }
        if reader.owner == Owner::Closed {
            // The bytes are taken, find no receiver, and RST comes back.
            self.reset(side);
            return Ok(count);
        }
        if reader.unacknowledged() == 0 && reader.inbound.len() < reader.pipe.receive {
            reader.wake(Readiness::IN);
        }
        reader.inbound.extend(&bytes[..count]);
        Ok(count)
    }

    /// Sends FIN.
    pub(super) fn shutdown(&mut self, side: usize) -> Result<(), i32> {
        // Linux wakes pollers even if there is nothing left to shut.
        self.ends[side].wake(Readiness::NONE);
        if self.connecting || self.ends[side].is_over() {
            return Err(ENOTCONN);
        }
        self.ends[side].shut = true;
        self.arrive_fin(1 - side);
        Ok(())
    }

    /// Bytes that an end wrote and for which the other end has no room. A FIN behind them counts as
    /// one.
    pub(super) fn unacknowledged(&self, side: usize) -> usize {
        let fin_waits = self.ends[side].shut && !self.ends[1 - side].fin;
        self.ends[1 - side].unacknowledged() + usize::from(fin_waits)
    }

    /// Closes an end: with FIN if everything received was read, otherwise with RST.
    pub(super) fn close(&mut self, side: usize) {
        if self.ends[side].inbound.is_empty() && !self.connecting {
            // ENOTCONN: there is no peer left to tell.
            let _ = self.shutdown(side);
            self.ends[side].owner = Owner::Closed;
        } else {
            self.abort(side);
        }
    }

    /// Closes an end with RST: close(2) with an `SO_LINGER` time of 0.
    pub(super) fn abort(&mut self, side: usize) {
        let silent = self.connecting || self.ends[side].dead || self.has_ended(side);
        self.ends[side].owner = Owner::Closed;
        self.ends[side].dead = true;
        self.ends[side].inbound.clear();
        if !silent {
            self.reset(1 - side);
        }
    }

    /// The readiness of an end, as epoll sees it.
    pub(super) fn poll(&self, side: usize) -> Readiness {
        let has_room = self.ends[1 - side].has_room();
        let end = &self.ends[side];
        if self.connecting {
            return Readiness::NONE;
        }
        let mut found = Readiness::NONE;
        if end.is_over() {
            found |= Readiness::HUP;
        }
        if end.fin || end.dead {
            found |= Readiness::IN | Readiness::RDHUP;
        }
        if end.readable() > 0 {
            found |= Readiness::IN;
        }
        if end.shut || end.dead || has_room {
            found |= Readiness::OUT;
        }
        if end.error.is_some() {
            found |= Readiness::ERR;
        }
        found
    }

    /// Delivers the FIN of the other end if no byte is left before it.
    fn arrive_fin(&mut self, side: usize) {
        let sent = self.ends[1 - side].shut;
        let end = &mut self.ends[side];
        if sent && !end.fin && !end.dead && end.unacknowledged() == 0 {
            end.fin = true;
            end.wake(Readiness::NONE);
        }
    }

    /// RST reaches this end, unless both directions had ended before.
    fn reset(&mut self, side: usize) {
        if !self.ends[side].dead && !self.has_ended(side) {
            let errno = if self.ends[side].fin {
                EPIPE
            } else {
                ECONNRESET
            };
            self.die(side, errno);
        }
    }

    /// Both directions have ended, and the other end has received everything.
    fn has_ended(&self, side: usize) -> bool {
        let end = &self.ends[side];
        end.shut && end.fin && self.ends[1 - side].unacknowledged() == 0
    }

    fn die(&mut self, side: usize, errno: i32) {
        let end = &mut self.ends[side];
        end.dead = true;
        end.error = Some(errno);
        let arrived = end.readable();
        end.inbound.truncate(arrived);
        end.wake(Readiness::NONE);
    }
}
