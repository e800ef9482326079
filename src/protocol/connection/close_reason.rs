//! Why connections end: the one list, with the names for statistics and logs.

use crate::protocol::framing::{FrameError, Hint};

/// Why a connection ended. The first reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended its stream and got all answers.
    EndOfStream,
    /// The peer reset the connection, or the network failed.
    Reset,
    /// A call on the socket failed, and neither the peer nor the network caused the error.
    Failed,
    /// A frame over the limit.
    TooLong,
    /// A header that contradicts itself.
    Corrupted,
    /// The stream ended inside a frame.
    Truncated,
    /// The service ended the conversation as its protocol defines.
    Goodbye,
    /// The transport was not set up: its handshake failed or took too long.
    Handshake,
    /// The service refused a request that is not valid in its protocol.
    Refused,
    /// The connection opened with another protocol, which the service refuses.
    OtherProtocol,
    /// The peer did not answer the challenge, or not with the right digest.
    Unauthorised,
    /// The header of a load balancer was malformed, too long, cut off, late or missing.
    Proxy,
    /// The address that a load balancer announced has too many connections.
    PerIp,
    /// No byte for the idle time-out.
    Idle,
    /// The peer took too few of the owed bytes within the stall time-out.
    Stalled,
    /// A frame was incomplete at the frame time-out.
    SlowFrame,
    /// Bytes had arrived, but no workspace was free within the idle time-out.
    Starved,
    /// The kernel had no memory for the bytes in all tries.
    Exhausted,
    /// The server is in a drain, and the peer has all answers.
    Shutdown,
    /// The drain time-out passed before the peer had all answers.
    Cut,
    /// Another process goes on with the connection.
    HandedOver,
}

/// The directions in which a connection was idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Neither moved a byte.
    #[default]
    Both,
    /// Nothing was read.
    Read,
    /// Nothing was sent.
    Write,
}

impl Idle {
    /// The name of the event in the wiretap.
    pub const fn name(self) -> &'static str {
        match self {
            Idle::Both => "idle",
            Idle::Read => "idle_read",
            Idle::Write => "idle_write",
        }
    }

    /// What happened, for the log.
    pub const fn what(self) -> &'static str {
        match self {
            Idle::Both => "the peer sent and took nothing for the idle time-out",
            Idle::Read => "the peer sent nothing for the time of --idle-read",
            Idle::Write => "nothing was sent to the peer for the time of --idle-write",
        }
    }
}

/// Why a connection ends, with the details for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason.
    pub reason: CloseReason,
    /// The frame that could not be served, if a frame is the reason.
    pub error: Option<FrameError>,
    /// What the peer seems to speak.
    pub hint: Option<Hint>,
    /// In which directions it was idle, if that is the reason.
    pub idle: Idle,
}

impl From<CloseReason> for Cause {
    fn from(reason: CloseReason) -> Cause {
        Cause {
            reason,
            error: None,
            hint: None,
            idle: Idle::Both,
        }
    }
}

impl From<&FrameError> for Cause {
    fn from(error: &FrameError) -> Cause {
        Cause {
            reason: error.into(),
            error: Some(*error),
            hint: None,
            idle: Idle::Both,
        }
    }
}

impl Cause {
    /// The same, with what the peer seems to speak.
    #[must_use]
    pub fn hinted(self, hint: Option<Hint>) -> Cause {
        Cause { hint, ..self }
    }

    /// The same, with the directions in which the connection was idle.
    #[must_use]
    pub fn idle_in(self, idle: Idle) -> Cause {
        Cause { idle, ..self }
    }

    /// What ended the connection, for the log: see [`CloseReason::limit`].
    pub const fn limit(&self) -> Option<&'static str> {
        match self.reason {
            CloseReason::Idle => Some(self.idle.what()),
            reason => reason.limit(),
        }
    }
}

impl From<&FrameError> for CloseReason {
    fn from(error: &FrameError) -> CloseReason {
        match error {
            FrameError::TooLong { .. } | FrameError::Longer { .. } | FrameError::Endless { .. } => {
                CloseReason::TooLong
            }
            FrameError::Corrupted(_) => CloseReason::Corrupted,
            FrameError::Truncated { .. } => CloseReason::Truncated,
            FrameError::Refused(_) => CloseReason::Refused,
        }
    }
}

impl CloseReason {
    /// Every reason, in the order of the statistics.
    pub const ALL: [CloseReason; 21] = [
        CloseReason::EndOfStream,
        CloseReason::Reset,
        CloseReason::Failed,
        CloseReason::TooLong,
        CloseReason::Corrupted,
        CloseReason::Truncated,
        CloseReason::Goodbye,
        CloseReason::Handshake,
        CloseReason::Refused,
        CloseReason::OtherProtocol,
        CloseReason::Unauthorised,
        CloseReason::Proxy,
        CloseReason::PerIp,
        CloseReason::Idle,
        CloseReason::Stalled,
        CloseReason::SlowFrame,
        CloseReason::Starved,
        CloseReason::Exhausted,
        CloseReason::Shutdown,
        CloseReason::Cut,
        CloseReason::HandedOver,
    ];

    /// The name in logs and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::EndOfStream => "end_of_stream",
            CloseReason::Reset => "reset",
            CloseReason::Failed => "failed",
            CloseReason::TooLong => "too_long",
            CloseReason::Corrupted => "corrupted",
            CloseReason::Truncated => "truncated",
            CloseReason::Goodbye => "goodbye",
            CloseReason::Handshake => "handshake",
            CloseReason::Refused => "refused",
            CloseReason::OtherProtocol => "other_protocol",
            CloseReason::Unauthorised => "unauthorised",
            CloseReason::Proxy => "proxy",
            CloseReason::PerIp => "per_ip",
            CloseReason::Idle => "idle",
            CloseReason::Stalled => "stalled",
            CloseReason::SlowFrame => "slow_frame",
            CloseReason::Starved => "starved",
            CloseReason::Exhausted => "exhausted",
            CloseReason::Shutdown => "shutdown",
            CloseReason::Cut => "cut",
            CloseReason::HandedOver => "handed_over",
        }
    }

    /// What ended the connection, for the log.
    ///
    /// `None` if the frame error tells the reason, if the reason was logged with its details where
    /// it was found, or if the conversation ended in order, by its protocol, its peer, or a drain:
    /// these ends are counted, and logged at level debug.
    pub const fn limit(self) -> Option<&'static str> {
        match self {
            CloseReason::Idle => Some(Idle::Both.what()),
            CloseReason::Unauthorised => Some("the peer did not answer the challenge of --auth"),
            CloseReason::Failed => Some("a call on its socket failed, RUST_LOG=debug tells which"),
            CloseReason::OtherProtocol => Some("a web page could have opened this connection"),
            CloseReason::Stalled => Some("the peer took too little of its answers in time"),
            CloseReason::SlowFrame => Some("the frame was not whole in time"),
            CloseReason::Starved => Some("no workspace was free in time, more memory would help"),
            CloseReason::Exhausted => Some("the kernel had no memory for its bytes"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_in_the_log_or_is_an_end_that_a_conversation_has_anyway() {
        let by_a_frame = [
            FrameError::Endless { limit: 1 },
            FrameError::Corrupted("x"),
            FrameError::Truncated { held: 1 },
            FrameError::Refused("x"),
        ];
        let by_a_frame = by_a_frame.each_ref().map(CloseReason::from);
        for reason in CloseReason::ALL {
            // The last three are logged together at the end of the server. Those of a load balancer
            // and a failed handshake are logged with their details where they are found.
            let is_usual = matches!(
                reason,
                CloseReason::EndOfStream
                    | CloseReason::Reset
                    | CloseReason::Goodbye
                    | CloseReason::Handshake
                    | CloseReason::Proxy
                    | CloseReason::PerIp
                    | CloseReason::Shutdown
                    | CloseReason::Cut
                    | CloseReason::HandedOver
            );
            let ways = [
                is_usual,
                by_a_frame.contains(&reason),
                reason.limit().is_some(),
            ];
            let count = ways.iter().filter(|way| **way).count();
            assert_eq!(count, 1, "{reason:?} is told in just one way: {ways:?}");
        }
    }
}
