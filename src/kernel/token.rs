//! Interest, readiness, and the token under which the kernel reports a descriptor.
//!
//! epoll returns 64 bits of user data with each event. A descriptor or a pointer would be unsafe
//! there: when the event is handled, the connection may be closed and its number reused, even
//! within one batch. A [`Token`] is a slot index and the generation of that slot, so a token
//! outlives its connection safely: the generation of the slot has changed by then, and the event is
//! recognised as stale. Neighbours: `store::slots`, which counts the generations; `linux`, which
//! registers the tokens. Man page: epoll_ctl(2).

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use super::Stream;
use crate::limits::COMMANDS_MAX;
use crate::sys::epoll::Event;

/// The identity of a registered descriptor: the index of its slot, and the generation of the slot
/// at the time of registration.
///
/// The generation of a connection is at least 1. Generation 0 marks the loop's own descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// What a [`Token`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The connection in a slot, or an earlier connection of that slot.
    Connection,
    /// A listener, by its number.
    Listener(u32),
    /// A datagram socket, by its number.
    Datagram(u32),
    /// The signals that the process handles.
    Signals,
    /// A wake-up from another thread.
    WakeUp,
    /// The timer of a far deadline. The loop only needs to read the clock.
    Timer,
    /// A descriptor of a command.
    Child {
        /// The index of the command.
        place: u32,
        /// The last 23 bits of its generation.
        generation: u32,
        /// Which descriptor.
        end: ChildEnd,
    },
    /// A child of this process has ended; see [`Spawner::supervise`](super::Spawner::supervise).
    ChildEnded,
    /// A standard stream of this program.
    Stream(Stream),
    /// The poller of a smaller loop has an event.
    Scrapes,
    /// Another process asks for the sockets of this one, or says or passes something.
    Takeover,
}

impl Token {
    /// The signals.
    pub const SIGNALS: Token = Token::own(u32::MAX);
    /// The wake-up.
    pub const WAKE_UP: Token = Token::own(u32::MAX - 1);
    /// The timer.
    pub const TIMER: Token = Token::own(u32::MAX - 2);
    /// Standard input.
    pub const INPUT: Token = Token::own(u32::MAX - 3);
    /// Standard output.
    pub const OUTPUT: Token = Token::own(u32::MAX - 4);
    /// The report that a child has ended.
    pub const CHILD_ENDED: Token = Token::own(u32::MAX - 5);
    /// The pages of the server about itself.
    pub const SCRAPES: Token = Token::own(u32::MAX - 6);
    /// The socket at which another process asks for the sockets of this one.
    pub const DOORWAY: Token = Token::own(u32::MAX - 7);
    /// The connection with that process.
    pub const PASSAGE: Token = Token::own(u32::MAX - 8);

    /// The token of slot `index` in its `generation`, which is at least 1.
    pub const fn new(index: u32, generation: u32) -> Token {
        Token((generation as u64) << 32 | index as u64)
    }

    /// The token of one of the loop's own descriptors.
    const fn own(number: u32) -> Token {
        Token::new(number, 0)
    }

    /// The token of listener `number`.
    pub const fn listener(number: u32) -> Token {
        debug_assert!(number < DATAGRAMS);
        Token::own(number)
    }

    /// The token of datagram socket `number`.
    pub const fn datagram(number: u32) -> Token {
        debug_assert!(number < DATAGRAMS);
        Token::own(DATAGRAMS | number)
    }

    /// The token of one descriptor of the command in `place`, which is below [`COMMANDS_MAX`]. 23
    /// bits of its `generation` are kept: enough, because events are stale only for a moment.
    pub const fn child(place: u32, generation: u32, end: ChildEnd) -> Token {
        const { assert!(COMMANDS_MAX <= 64) }
        Token::own(CHILDREN | (generation & GENERATIONS) << 8 | place << 1 | end as u32)
    }

    /// What this token stands for.
    pub const fn source(self) -> Source {
        if self.generation() != 0 {
            return Source::Connection;
        }
        match self {
            Token::SIGNALS => Source::Signals,
            Token::WAKE_UP => Source::WakeUp,
            Token::TIMER => Source::Timer,
            Token::INPUT => Source::Stream(Stream::Input),
            Token::OUTPUT => Source::Stream(Stream::Output),
            Token::CHILD_ENDED => Source::ChildEnded,
            Token::SCRAPES => Source::Scrapes,
            Token::DOORWAY | Token::PASSAGE => Source::Takeover,
            _ if self.index() & CHILDREN != 0 => Source::Child {
                place: self.index() >> 1 & 0x7f,
                generation: self.index() >> 8 & GENERATIONS,
                end: match self.index() & 1 {
                    0 => ChildEnd::Output,
                    _ => ChildEnd::Exit,
                },
            },
            _ if self.index() & DATAGRAMS != 0 => Source::Datagram(self.index() & !DATAGRAMS),
            _ => Source::Listener(self.index()),
        }
    }

    /// The 64 bits as epoll carries them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The token that was registered with these bits.
    pub const fn from_bits(bits: u64) -> Token {
        Token(bits)
    }

    /// The slot of a connection.
    pub const fn index(self) -> u32 {
        self.0 as u32
    }

    /// The generation of the slot; 0 for the loop's own descriptors.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The two descriptors of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// The pipe of its output.
    Output = 0,
    /// The pidfd that reports its end.
    Exit = 1,
}

/// Set in the token of every command.
const CHILDREN: u32 = 1 << 31;
/// Set in the token of every datagram socket; listener numbers stay below it.
const DATAGRAMS: u32 = 1 << 30;
/// The part of a command's generation that a token holds.
const GENERATIONS: u32 = (1 << 23) - 1;

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Source::Connection => write!(f, "{}.{}", self.index(), self.generation()),
            Source::Listener(number) => write!(f, "listener-{number}"),
            Source::Datagram(number) => write!(f, "datagram-{number}"),
            Source::Signals => f.write_str("signals"),
            Source::WakeUp => f.write_str("wake-up"),
            Source::Timer => f.write_str("timer"),
            Source::Child {
                place,
                generation,
                end,
            } => write!(f, "command-{place}.{generation} {end:?}"),
            Source::ChildEnded => f.write_str("child-ended"),
            Source::Scrapes => f.write_str("scrapes"),
            Source::Takeover => f.write_str("takeover"),
            Source::Stream(stream) => stream.fmt(f),
        }
    }
}

/// *Interest*: what the loop asks the kernel to report for a socket.
///
/// Errors and hang-ups cannot be masked: the kernel reports them even for an empty interest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Only errors and hang-ups.
    pub const NONE: Interest = Interest(0);
    /// Data, or the end of the stream, can be read.
    pub const READ: Interest = Interest(1);
    /// The send buffer has room.
    pub const WRITE: Interest = Interest(2);
    /// Report changes (edge-triggered) instead of states (level-triggered). With [`Interest::READ`]
    /// this also asks for the peer's half-close and for urgent bytes; otherwise an edge that
    /// arrives together with data would hide them.
    pub const EDGE: Interest = Interest(4);
    /// Of several pollers that wait for the same listener, wake one that sleeps instead of all.
    /// Only for [`register`](super::Poller::register), and never together with
    /// [`Interest::EDGE`]: the kernel refuses to change such a registration, so it is ended and
    /// made again. EPOLLEXCLUSIVE of epoll_ctl(2).
    pub const EXCLUSIVE: Interest = Interest(8);

    /// Both interests together: `|`, for constants.
    #[must_use]
    pub const fn union(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// Whether `self` includes all of `other`.
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOrAssign for Interest {
    #[inline]
    fn bitor_assign(&mut self, other: Interest) {
        *self = self.union(other);
    }
}

impl BitOr for Interest {
    type Output = Interest;

    #[inline]
    fn bitor(self, other: Interest) -> Interest {
        self.union(other)
    }
}

/// When the kernel reports a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As long as the condition holds (level-triggered).
    Level,
    /// Once, when the condition becomes true (edge-triggered).
    Edge,
}

impl Interest {
    /// This interest in the mode of `trigger`.
    #[inline]
    #[must_use]
    pub const fn under(self, trigger: Trigger) -> Interest {
        match trigger {
            Trigger::Level => self,
            Trigger::Edge => self.union(Interest::EDGE),
        }
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Interest::READ, "READ"),
            (Interest::WRITE, "WRITE"),
            (Interest::EDGE, "EDGE"),
            (Interest::EXCLUSIVE, "EXCLUSIVE"),
        ];
        let set: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| self.contains(*bit))
            .map(|(_, name)| *name)
            .collect();
        f.write_str(if set.is_empty() { "NONE" } else { "" })?;
        f.write_str(&set.join("|"))
    }
}

/// *Readiness*: what the kernel reports for a socket. The bits are those of epoll_ctl(2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u32);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// `EPOLLIN`: a read will not block.
    pub const IN: Readiness = Readiness(0x001);
    /// `EPOLLPRI`: an urgent byte has arrived; a read stops before it.
    pub const PRI: Readiness = Readiness(0x002);
    /// `EPOLLOUT`: a write will not block.
    pub const OUT: Readiness = Readiness(0x004);
    /// `EPOLLERR`: an error is pending; never masked.
    pub const ERR: Readiness = Readiness(0x008);
    /// `EPOLLHUP`: both directions are shut; never masked.
    pub const HUP: Readiness = Readiness(0x010);
    /// `EPOLLRDHUP`: the peer has closed its sending direction; data may still wait to be read.
    pub const RDHUP: Readiness = Readiness(0x2000);

    /// The readiness with these epoll bits.
    pub const fn from_bits(bits: u32) -> Readiness {
        Readiness(bits)
    }

    /// The epoll bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Both together: `|`, for constants.
    #[must_use]
    pub const fn union(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// Whether any bit of `other` is set here.
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOrAssign for Readiness {
    #[inline]
    fn bitor_assign(&mut self, other: Readiness) {
        *self = self.union(other);
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    #[inline]
    fn bitor(self, other: Readiness) -> Readiness {
        self.union(other)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Readiness::IN, "IN"),
            (Readiness::PRI, "PRI"),
            (Readiness::OUT, "OUT"),
            (Readiness::ERR, "ERR"),
            (Readiness::HUP, "HUP"),
            (Readiness::RDHUP, "RDHUP"),
        ];
        let set: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| self.intersects(*bit))
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&set.join("|"))
    }
}

impl Event {
    /// The event of `readiness` for the socket that was registered under `token`.
    pub const fn new(token: Token, readiness: Readiness) -> Event {
        Event::raw(token.bits(), readiness.bits())
    }

    /// The token under which the socket was registered. The socket may be closed by now.
    #[inline]
    pub const fn token(&self) -> Token {
        Token::from_bits(self.data())
    }

    /// What is ready.
    #[inline]
    pub const fn readiness(&self) -> Readiness {
        Readiness::from_bits(self.mask())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.token(), self.readiness())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::epoll;

    #[test]
    fn an_event_carries_token_and_readiness() {
        let event = Event::new(Token::new(3, 9), Readiness::IN | Readiness::HUP);
        assert_eq!(event.token(), Token::new(3, 9));
        assert!(
            event.readiness().intersects(Readiness::HUP)
                && !event.readiness().intersects(Readiness::OUT)
        );
        assert_eq!(format!("{event:?}"), "3.9 IN|HUP");
    }

    #[test]
    fn readiness_has_the_bits_of_epoll() {
        let ours = [
            Readiness::IN,
            Readiness::PRI,
            Readiness::OUT,
            Readiness::RDHUP,
        ];
        let theirs = [epoll::IN, epoll::PRI, epoll::OUT, epoll::RDHUP];
        assert_eq!(ours.map(Readiness::bits), theirs);
    }

    #[test]
    fn a_token_carries_index_and_generation_to_their_ends() {
        for (index, generation) in [
            (0, 1),
            (7, 3),
            (u32::MAX, u32::MAX),
            (u32::MAX, 1),
            (0, u32::MAX),
        ] {
            let token = Token::from_bits(Token::new(index, generation).bits());
            assert_eq!((token.index(), token.generation()), (index, generation));
        }
    }

    #[test]
    fn the_loops_own_tokens_are_never_a_connections() {
        assert_eq!(Token::listener(3).generation(), 0);
        assert_ne!(Token::listener(3), Token::new(3, 1));
        assert_eq!(Token::new(3, 1).source(), Source::Connection);
    }

    #[test]
    fn the_ends_of_a_program_are_told_apart_from_all_others() {
        for (place, generation) in [(0, 0), (63, 0), (5, 7), (0, GENERATIONS), (63, GENERATIONS)] {
            for end in [ChildEnd::Output, ChildEnd::Exit] {
                let token = Token::child(place, generation, end);
                let source = Source::Child {
                    place,
                    generation,
                    end,
                };
                assert_eq!(token.source(), source);
            }
        }
        let wrapped = Token::child(1, GENERATIONS + 3, ChildEnd::Exit);
        assert_eq!(wrapped, Token::child(1, 2, ChildEnd::Exit));
        for (token, source) in [
            (Token::listener(0), Source::Listener(0)),
            (Token::listener(7), Source::Listener(7)),
            (Token::SIGNALS, Source::Signals),
            (Token::WAKE_UP, Source::WakeUp),
            (Token::TIMER, Source::Timer),
            (Token::INPUT, Source::Stream(Stream::Input)),
            (Token::OUTPUT, Source::Stream(Stream::Output)),
            (Token::CHILD_ENDED, Source::ChildEnded),
            (Token::SCRAPES, Source::Scrapes),
            (Token::new(CHILDREN, 1), Source::Connection),
        ] {
            assert_eq!(token.source(), source);
        }
        assert_eq!(
            format!("{:?}", Token::child(3, 9, ChildEnd::Exit)),
            "command-3.9 Exit"
        );
    }

    #[test]
    fn interest_is_compared_as_a_whole() {
        let both = Interest::READ | Interest::WRITE;
        assert!(both.contains(Interest::READ) && both.contains(Interest::WRITE));
        assert_ne!(both, Interest::READ);
        assert_eq!(
            format!("{:?} {:?}", both, Interest::NONE),
            "READ|WRITE NONE"
        );
    }
}
