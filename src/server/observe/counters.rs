//! What a loop has done, counted where it happens: plain numbers of one worker, added up only to be
//! printed.

use std::fmt;

use crate::protocol::connection::CloseReason;
use crate::protocol::framing::FrameError;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start, but for the connections open now.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Connections ended, by [`CloseReason`].
            pub closed: [u64; CloseReason::ALL.len()],
        }

        impl Counters {
            /// Adds another worker's counts.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
                for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
                    *mine += theirs;
                }
            }
        }

        impl fmt::Display for Counters {
            /// One line of `name=count`, every count there is.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("stats")?;
                $(write!(f, concat!(" ", stringify!($name), "={}"), self.$name)?;)*
                for reason in CloseReason::ALL {
                    write!(f, " closed_{}={}", reason.name(), self.closed[reason as usize])?;
                }
                Ok(())
            }
        }
    };
}

counters! {
    /// Connections open now.
    connections_now,
    /// Connections accepted.
    connections_total,
    /// Frames answered; without boundaries each read is one.
    frames,
    /// Bytes read.
    bytes_in,
    /// Bytes written.
    bytes_out,
    /// Calls of accept4.
    accept4,
    /// Calls of recv.
    recv,
    /// Calls of send.
    send,
    /// Waits: epoll_wait or epoll_pwait2.
    epoll_wait,
    /// Calls of epoll_ctl.
    epoll_ctl,
    /// Calls of shutdown.
    shutdown,
    /// Calls of close on connections.
    close,
    /// Events reported.
    events,
    /// Events for a connection that had gone.
    stale_events,
    /// Reads that found nothing although readiness was reported.
    spurious_events,
    /// Writes that took a part, or nothing.
    short_writes,
    /// Changes of interest after registration.
    interest_changes,
    /// Connections that had to wait for a workspace.
    workspace_waits,
    /// Times the listener rested because every slot was taken.
    refused_slots,
    /// Times the listener rested because descriptors or memory were out.
    refused_resources,
    /// Accepts that failed in passing: the peer gave up, or the network did.
    accept_errors,
    /// Reads and writes that the kernel refused for want of memory.
    refused_memory,
    /// Connections over the limit for their address.
    refused_per_ip,
    /// Connections that the kernel could not watch, or not as they wanted.
    refused_registration,
    /// Connections closed at the end of their lingering although the kernel held replies for them.
    lingers_cut,
    /// Commands that run now and are waited for.
    commands_now,
    /// Commands started.
    commands,
    /// Requests that had to wait until a command of another had ended.
    command_waits,
    /// Commands that could not be started.
    commands_not_started,
    /// Commands ended because they said too much.
    commands_cut,
    /// Commands ended because they took too long.
    commands_too_late,
    /// Commands ended because nobody waited for them any more.
    commands_abandoned,
    /// Frames over the limit that were thrown away.
    frames_discarded,
    /// Frames over the limit that ended a connection.
    refused_too_long,
    /// Frames that contradict themselves.
    refused_corrupted,
    /// Streams that ended inside a frame.
    refused_truncated,
    /// Requests that are none, where the service finds their bounds itself.
    refused_requests,
}

impl Counters {
    /// A frame error has ended a connection.
    #[cold]
    pub(in crate::server) fn refused(&mut self, error: &FrameError) {
        *match error {
            FrameError::TooLong { .. } | FrameError::Longer { .. } | FrameError::Endless { .. } => {
                &mut self.refused_too_long
            }
            FrameError::Corrupted(_) => &mut self.refused_corrupted,
            FrameError::Truncated { .. } => &mut self.refused_truncated,
            FrameError::Refused(_) => &mut self.refused_requests,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_count_and_close_reason() {
        let mut counters = Counters {
            connections_now: 3,
            recv: 14,
            ..Counters::default()
        };
        counters.closed[CloseReason::Idle as usize] = 7;
        let mut sum = counters.clone();
        sum.add(&counters);
        let line = sum.to_string();
        assert!(line.starts_with("stats connections_now=6 "), "{line}");
        assert!(
            line.contains(" recv=28 ") && line.contains(" closed_idle=14"),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn reasons_stand_in_the_order_of_their_numbers() {
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
