//! The header of a load balancer, which a connection reads before anything else.
//!
//! ```text
//!   Header --- it is whole, or there is none and need not be one ---> Open (and greet)
//!      |
//!      +------ malformed, too long, cut off, missing ---------------> Draining, Closed
//! ```
//!
//! The bytes of an unfinished header lie in the workspace, like those of a frame, and the state
//! holds only what is expected. The time that a header may take is known to the driver, which also
//! decides about the announced address before it calls [`Connection::open`]. Neighbour:
//! `front::proxy` parses.

use super::{Budget, Cause};
use super::{CloseReason, Connection, Progress, Protocol, State, Workspace};
use crate::protocol::front::proxy::{self, Parsed, Source};
use crate::protocol::service::Service;

/// What a connection expects before its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// A header, or none.
    Maybe,
    /// A header.
    Header,
    /// A header that this peer must not send, so that nothing it sends is right.
    Never,
    /// None: the time for one is over, and what has come is data.
    Data,
}

/// What has become of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heading {
    /// It is not whole.
    Incomplete,
    /// It announced this client. [`Connection::open`] is next.
    Taken(Source),
    /// The connection ends, for this reason.
    Refused(&'static str),
}

impl<S: Service> Connection<S> {
    /// A new connection expects a header before anything else, even before it greets.
    #[cold]
    pub fn expect_header(&mut self, expects: Expects) {
        debug_assert!(matches!(self.state, State::Greeting | State::Open));
        self.state = State::Header {
            expects,
            is_over: false,
        };
    }

    /// Whether the header has still to come.
    pub fn expects_header(&self) -> bool {
        matches!(self.state, State::Header { .. })
    }

    /// A read has put `count` bytes into the spare space of a connection that expects a header.
    #[cold]
    pub fn header_received(&mut self, count: usize, workspace: &mut Workspace<'_>) {
        debug_assert!(self.expects_header());
        workspace.inbound.advance(count);
    }

    /// Takes the header from the bytes that have arrived.
    #[cold]
    pub fn take_header(&mut self, workspace: &mut Workspace<'_>) -> Heading {
        let State::Header { expects, is_over } = self.state else {
            return Heading::Incomplete;
        };
        let bytes: &[u8] = workspace.inbound.undecoded();
        let is_silent = bytes.is_empty();
        let heading = match (expects, proxy::parse(bytes)) {
            (Expects::Data, _) => Heading::Taken(Source::Peer),
            (Expects::Never, _) if is_silent && !is_over => Heading::Incomplete,
            (Expects::Never, _) => Heading::Refused("the peer is not one of --proxy-from"),
            (_, Parsed::Header { size, source }) => {
                workspace.inbound.consume(size);
                Heading::Taken(source)
            }
            (_, Parsed::Wrong(reason)) => Heading::Refused(reason),
            (Expects::Maybe, Parsed::Absent) => Heading::Taken(Source::Peer),
            (_, Parsed::Absent) => Heading::Refused("the connection does not begin with one"),
            (_, Parsed::Incomplete) if !is_over => Heading::Incomplete,
            (Expects::Maybe, _) if proxy::is_undecided(bytes) => Heading::Taken(Source::Peer),
            _ if is_silent => Heading::Refused("the stream ended without one"),
            _ => Heading::Refused("the stream ended inside it"),
        };
        self.state = match (heading, is_over) {
            (Heading::Incomplete, _) => self.state,
            (Heading::Taken(_), false) => State::Open,
            (Heading::Taken(_), true) => State::HalfClosed(CloseReason::EndOfStream.into()),
            // A peer that has ended its stream sends nothing more: there is nothing to linger for.
            (Heading::Refused(_), true) => State::Closed(CloseReason::Proxy.into()),
            (Heading::Refused(_), false) => State::Draining(CloseReason::Proxy.into()),
        };
        if let Heading::Refused(_) = heading {
            workspace.inbound.drop_undecoded();
        }
        heading
    }

    /// Begins the conversation behind the header: greets, or answers what has come with it.
    #[cold]
    pub fn open(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        // What follows is not a part of the header, which has had its time.
        self.ended = true;
        let behind = workspace.inbound.undecoded().len();
        self.screen(behind, workspace, protocol);
        if self.is_open() && protocol.service.greeting().is_some() {
            self.begin(workspace, protocol);
            return Progress::default();
        }
        self.resume(workspace, protocol, budget)
    }

    /// The time for the header is over. Returns whether [`Connection::take_header`] takes what has
    /// come as data: no header is needed, and so few bytes do not show that this is one.
    #[cold]
    pub fn expect_data(&mut self, workspace: &mut Workspace<'_>) -> bool {
        match &mut self.state {
            State::Header { expects, .. } if *expects == Expects::Maybe => {
                let is_undecided = proxy::is_undecided(workspace.inbound.undecoded());
                if is_undecided {
                    *expects = Expects::Data;
                }
                is_undecided
            }
            _ => false,
        }
    }

    /// The time for the header is over. What is counted and logged.
    pub fn header_is_late(&self) -> Option<Cause> {
        self.expects_header().then(|| CloseReason::Proxy.into())
    }
}
