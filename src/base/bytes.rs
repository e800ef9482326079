//! The two buffers of an active connection, as cursors over borrowed memory.
//!
//! [`Inbound`] is filled by reads. A frame that is answered in place is sent from the same bytes in
//! which it arrived, so an echo copies nothing:
//!
//! ```text
//!   0         owed        answered      decoded       filled       capacity
//!   |  sent    |   to send   |  skipped    |  undecoded  |    spare    |
//! ```
//!
//! [`Outbound`] is filled by services whose reply differs in length from the request.
//!
//! Invariant: the cursors keep this order after every move, and all are 0 when the buffer is
//! compacted and empty. Neither type knows what a frame is. Neighbours: `protocol::connection`
//! decodes and answers; `server::pump` reads into the spare space and sends what is owed.

/// The cursors of an [`Inbound`]; the caller keeps them between two uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboundCursors {
    owed: usize,
    answered: usize,
    decoded: usize,
    filled: usize,
    /// How many of the undecoded bytes have been scanned without finding the end of a frame.
    scanned: usize,
}

impl InboundCursors {
    /// `filled` bytes have arrived; the first `answered` of them are answered in place, the first
    /// `sent` are sent.
    pub fn after(sent: usize, answered: usize, filled: usize) -> InboundCursors {
        InboundCursors {
            owed: sent,
            answered,
            decoded: answered,
            filled,
            scanned: 0,
        }
    }

    /// The same where nothing is sent: the answered bytes are only taken.
    pub fn owing_nothing(self) -> InboundCursors {
        InboundCursors {
            owed: self.answered,
            ..self
        }
    }

    /// Bytes that have arrived, counted from the front.
    pub fn filled(&self) -> usize {
        self.filled
    }
}

/// Received bytes: undecoded, or answered in place and still to be sent.
#[derive(Debug)]
pub struct Inbound<'a> {
    bytes: &'a mut [u8],
    at: InboundCursors,
}

impl<'a> Inbound<'a> {
    /// A view of `bytes` with the cursors `at`.
    #[inline]
    pub fn new(bytes: &'a mut [u8], at: InboundCursors) -> Inbound<'a> {
        let inbound = Inbound { bytes, at };
        inbound.check();
        inbound
    }

    /// The current cursors.
    #[inline]
    pub fn cursors(&self) -> InboundCursors {
        self.at
    }

    #[inline]
    fn check(&self) {
        debug_assert!(
            self.at.owed <= self.at.answered
                && self.at.answered <= self.at.decoded
                && self.at.decoded <= self.at.filled
                && self.at.filled <= self.bytes.len(),
            "cursors out of order: {:?} of {}",
            self.at,
            self.bytes.len()
        );
    }

    /// The space that the next read may fill.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at.filled..]
    }

    /// Records that a read has put `count` bytes into the spare space.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.at.filled += count;
        assert!(
            self.at.filled <= self.bytes.len(),
            "a read reported more than its space"
        );
    }

    /// The bytes that have arrived and are not decoded.
    #[inline]
    pub fn undecoded(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at.decoded..self.at.filled]
    }

    /// Whether a frame that is answered in place now extends the bytes to send, in order and
    /// without a gap.
    #[inline]
    pub fn joins(&self) -> bool {
        self.at.owed == self.at.answered || self.at.answered == self.at.decoded
    }

    /// Consumes the next `count` undecoded bytes as a frame that is its own answer.
    #[inline]
    pub fn answer(&mut self, count: usize) {
        debug_assert!(self.joins());
        if self.at.owed == self.at.answered {
            self.at.owed = self.at.decoded;
        }
        self.at.decoded += count;
        self.at.answered = self.at.decoded;
        self.at.scanned = 0;
        self.check();
    }

    /// Consumes the next `count` undecoded bytes without an answer in place.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.at.decoded += count;
        self.at.scanned = 0;
        self.check();
    }

    /// How many of the undecoded bytes need not be scanned again.
    #[inline]
    pub fn scanned(&self) -> usize {
        self.at.scanned
    }

    /// Records that the first `count` undecoded bytes have been scanned and hold no end of a frame.
    #[inline]
    pub fn set_scanned(&mut self, count: usize) {
        self.at.scanned = count;
    }

    /// Drops the undecoded bytes.
    pub fn drop_undecoded(&mut self) {
        self.at.filled = self.at.decoded;
        self.at.scanned = 0;
    }

    /// The bytes to send.
    #[inline]
    pub fn owed(&self) -> &[u8] {
        &self.bytes[self.at.owed..self.at.answered]
    }

    /// Whether there are bytes to send.
    #[inline]
    pub fn owes(&self) -> bool {
        self.at.owed != self.at.answered
    }

    /// Records that the first `count` bytes to send were sent.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.at.owed += count;
        self.check();
    }

    /// Moves the undecoded bytes to the front once nothing is left to send, so that the spare space
    /// is as large as possible.
    ///
    /// A partial frame is moved at most once, because it stays at the front from then on. The cost
    /// is linear, however the stream is split into reads.
    #[inline]
    pub fn compact(&mut self) {
        if self.at.owed != self.at.answered || self.at.decoded == 0 {
            return;
        }
        let held = self.at.decoded..self.at.filled;
        let (filled, scanned) = (held.len(), self.at.scanned);
        if filled > 0 {
            self.bytes.copy_within(held, 0);
        }
        self.at = InboundCursors {
            filled,
            scanned,
            ..InboundCursors::default()
        };
    }

    /// Whether nothing is to be sent and nothing is to be decoded.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at.owed == self.at.answered && self.at.decoded == self.at.filled
    }
}

/// The cursors of an [`Outbound`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboundCursors {
    sent: usize,
    filled: usize,
}

/// Replies that are not sent in place, in the order in which they are sent.
#[derive(Debug)]
pub struct Outbound<'a> {
    bytes: &'a mut [u8],
    at: OutboundCursors,
}

impl<'a> Outbound<'a> {
    /// A view of `bytes` with the cursors `at`.
    #[inline]
    pub fn new(bytes: &'a mut [u8], at: OutboundCursors) -> Outbound<'a> {
        debug_assert!(at.sent <= at.filled && at.filled <= bytes.len());
        Outbound { bytes, at }
    }

    /// The current cursors.
    #[inline]
    pub fn cursors(&self) -> OutboundCursors {
        self.at
    }

    /// The number of bytes that still fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len() - (self.at.filled - self.at.sent)
    }

    /// `count` bytes of contiguous space behind the bytes to send, at most [`Outbound::room`].
    /// [`Outbound::advance`] adds the first part of it to the bytes to send.
    pub fn space(&mut self, count: usize) -> &mut [u8] {
        if self.bytes.len() - self.at.filled < count {
            self.bytes.copy_within(self.at.sent..self.at.filled, 0);
            self.at.filled -= self.at.sent;
            self.at.sent = 0;
        }
        &mut self.bytes[self.at.filled..self.at.filled + count]
    }

    /// The first `count` bytes of the space are now to be sent.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.at.filled += count;
        assert!(
            self.at.filled <= self.bytes.len(),
            "a reply is longer than its space"
        );
    }

    /// The bytes to send.
    #[inline]
    pub fn owed(&self) -> &[u8] {
        &self.bytes[self.at.sent..self.at.filled]
    }

    /// Records that the first `count` bytes to send were sent.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.at.sent += count;
        assert!(
            self.at.sent <= self.at.filled,
            "a write reported more than was owed"
        );
        if self.at.sent == self.at.filled {
            self.at = OutboundCursors::default();
        }
    }

    /// Whether nothing is to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at.sent == self.at.filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(inbound: &mut Inbound<'_>, bytes: &[u8]) {
        inbound.spare()[..bytes.len()].copy_from_slice(bytes);
        inbound.advance(bytes.len());
    }

    #[test]
    fn neighbouring_answers_are_owed_as_one_run() {
        let mut memory = [0; 16];
        let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
        fill(&mut inbound, b"abcdefgh");
        inbound.answer(3);
        inbound.answer(2);
        assert_eq!(inbound.owed(), b"abcde");
        assert_eq!(inbound.undecoded(), b"fgh");
    }

    #[test]
    fn a_skipped_frame_ends_the_run_until_it_was_sent() {
        let mut memory = [0; 16];
        let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
        fill(&mut inbound, b"aabbcc");
        inbound.answer(2);
        inbound.consume(2);
        assert!(!inbound.joins());
        inbound.sent(2);
        assert!(inbound.joins());
        inbound.answer(2);
        assert_eq!(inbound.owed(), b"cc");
    }

    #[test]
    fn compacting_waits_for_what_is_owed_and_keeps_the_rest() {
        let mut memory = [0; 8];
        let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
        fill(&mut inbound, b"abcdefgh");
        inbound.answer(5);
        inbound.compact();
        assert_eq!(inbound.spare().len(), 0);
        inbound.sent(5);
        inbound.compact();
        assert_eq!(inbound.undecoded(), b"fgh");
        assert_eq!(inbound.spare().len(), 5);
    }

    #[test]
    fn an_emptied_buffer_is_pristine() {
        let mut memory = [0; 8];
        let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
        fill(&mut inbound, b"abcd");
        inbound.answer(4);
        inbound.sent(4);
        assert!(inbound.is_empty());
        inbound.compact();
        assert_eq!(inbound.cursors(), InboundCursors::default());
    }

    #[test]
    fn outbound_moves_what_is_owed_when_the_tail_is_too_short() {
        let mut memory = [0; 8];
        let mut outbound = Outbound::new(&mut memory, OutboundCursors::default());
        outbound.space(6).copy_from_slice(b"abcdef");
        outbound.advance(6);
        outbound.sent(4);
        assert_eq!(outbound.room(), 6);
        outbound.space(6).copy_from_slice(b"ghijkl");
        outbound.advance(6);
        assert_eq!(outbound.owed(), b"efghijkl");
        assert_eq!(outbound.room(), 0);
        outbound.sent(8);
        assert_eq!(outbound.cursors(), OutboundCursors::default());
    }
}
