//! Counters of one worker. They are incremented where things happen, and added up over all workers
//! only for printing. The logic of the server never reads them.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::connection::CloseReason;
use crate::protocol::framing::FrameError;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts since the start; `connections_now`, `pool_queue` and `commands_now` are current
        /// numbers.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
            /// Closed connections, by [`CloseReason`].
            pub closed: [u64; CloseReason::ALL.len()],
        }

        impl Counters {
            /// How many counts there are.
            pub(in crate::server) const WORDS: usize =
                [$(stringify!($name)),*].len() + CloseReason::ALL.len();

            /// Stores all counts into `words`, of which there are [`Counters::WORDS`].
            pub(in crate::server) fn store(&self, words: &[AtomicU64]) {
                let counts = [$(self.$name),*];
                for (word, count) in words.iter().zip(counts.iter().chain(&self.closed)) {
                    word.store(*count, Ordering::Relaxed);
                }
            }

            /// The counts that were stored into `words`.
            pub(in crate::server) fn load(words: &[AtomicU64]) -> Counters {
                let mut counters = Counters::default();
                let counts = [$(&mut counters.$name),*];
                let all = counts.into_iter().chain(&mut counters.closed);
                for (count, word) in all.zip(words) {
                    *count = word.load(Ordering::Relaxed);
                }
                counters
            }

            /// Adds the counts of another worker.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
                for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
                    *mine += theirs;
                }
            }
        }

        impl Counters {
            /// Calls `change` with each counter, in the order of [`Counters::each`].
            fn each_mut(&mut self, change: &mut dyn FnMut(&mut u64)) {
                $(change(&mut self.$name);)*
                self.closed.iter_mut().for_each(change);
            }

            /// Calls `tell` with each counter: its name, what it counts, and the count.
            pub(super) fn explain(&self, tell: &mut dyn FnMut(&str, &str, u64)) {
                $(tell(stringify!($name), concat!($($doc),*).trim(), self.$name);)*
                for reason in CloseReason::ALL {
                    let name = format!("closed_{}", reason.name());
                    let help = format!("Connections closed for the reason {}.", reason.name());
                    tell(&name, &help, self.closed[reason as usize]);
                }
            }

            /// Calls `tell` with each counter: the two parts of its name, and the count.
            fn each(&self, tell: &mut dyn FnMut(&str, &str, u64)) {
                $(tell("", stringify!($name), self.$name);)*
                for reason in CloseReason::ALL {
                    tell("closed_", reason.name(), self.closed[reason as usize]);
                }
            }
        }
    };
}

counters! {
    /// Connections open now.
    connections_now,
    /// Connections accepted, or taken over from another process.
    connections_total,
    /// Connections taken over from another process.
    connections_taken_over,
    /// Frames answered. Without frame boundaries each read counts as one.
    frames,
    /// Bytes read.
    bytes_in,
    /// Bytes written.
    bytes_out,
    /// Datagrams received.
    datagrams_in,
    /// Datagrams sent.
    datagrams_out,
    /// Calls of accept4.
    accept4,
    /// Calls of recv, or receives of a batch.
    recv,
    /// Calls of send, or sends of a batch.
    send,
    /// Calls of io_uring_enter, each of which makes a batch of receives or sends.
    io_uring_enter,
    /// Calls of recvmmsg.
    recvmmsg,
    /// Calls of sendmmsg, or of sendto for a single datagram.
    sendmmsg,
    /// Calls of epoll_wait or epoll_pwait2.
    epoll_wait,
    /// Calls of ppoll, where a thread or a process waits for each connection.
    poll,
    /// Connections that wait for a thread of the pool now.
    pool_queue,
    /// Calls of epoll_ctl.
    epoll_ctl,
    /// Calls of shutdown.
    shutdown,
    /// Calls of close on connections.
    close,
    /// Events reported.
    events,
    /// Events for a connection that was closed already.
    stale_events,
    /// Reads that returned EAGAIN although readiness was reported.
    spurious_events,
    /// Writes that took only a part, or nothing.
    short_writes,
    /// Changes of interest after registration.
    interest_changes,
    /// Connections that had to wait for a workspace.
    workspace_waits,
    /// Times that a connection had to wait because of a rate.
    rate_waits,
    /// Times the listeners paused because every slot was taken.
    refused_slots,
    /// Times the listeners paused because descriptors or memory ran out.
    refused_resources,
    /// Transient errors of accept4, such as ECONNABORTED.
    accept_errors,
    /// Reads and writes that the kernel refused for lack of memory.
    refused_memory,
    /// Connections refused because their address had reached its limit.
    refused_per_ip,
    /// Datagrams that were longer than any over IP, and so had lost their end.
    datagrams_truncated,
    /// Answers that were not sent: the peer has gone, or its queue is full.
    datagrams_unsent,
    /// Errors of a datagram socket itself.
    datagram_errors,
    /// Datagrams whose answer would have been larger, from an address that may be forged.
    refused_amplification,
    /// Datagrams from a port that answers in turn, or from the server itself.
    refused_loop,
    /// Datagrams from a local socket without a name, which cannot be answered.
    refused_unnamed,
    /// Datagrams that found no place for their command.
    refused_commands,
    /// Failed calls of epoll_ctl for connections, datagram sockets and commands.
    refused_registration,
    /// Lingering connections closed while the kernel still held unacknowledged replies.
    lingers_cut,
    /// Commands that run now and have a waiting connection.
    commands_now,
    /// Commands started.
    commands,
    /// Requests that had to wait for a place to run their command.
    command_waits,
    /// Commands that could not be started.
    commands_not_started,
    /// Commands killed because they exceeded the output limit.
    commands_cut,
    /// Commands killed because they exceeded their time-out.
    commands_too_late,
    /// Commands killed because their connection had closed.
    commands_abandoned,
    /// Frames over the limit that were discarded.
    frames_discarded,
    /// Connections closed because of a frame over the limit.
    refused_too_long,
    /// Connections closed because of a frame that contradicts itself.
    refused_corrupted,
    /// Connections closed because the stream ended inside a frame.
    refused_truncated,
    /// Connections closed because of an invalid request, for services that find the end of a
    /// message themselves.
    refused_requests,
}

impl fmt::Display for Counters {
    /// `stats` and the counters that are not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(StatsFormat::Text, &[], 0))
    }
}

/// How a line of statistics is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsFormat {
    /// `stats NAME=COUNT ...` with every counter, for programs.
    Whole,
    /// The same without the counters that are 0, for people.
    Text,
    /// A JSON object with every counter.
    Json,
}

impl StatsFormat {
    /// Appends counts of one kind, zeros too: their places say whose they are.
    fn tell_list(self, line: &mut String, name: &str, counts: &[u64]) {
        let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
        let counts = counts.join(",");
        // Writing to memory does not fail.
        let _ = match self {
            StatsFormat::Whole | StatsFormat::Text => write!(line, " {name}={counts}"),
            StatsFormat::Json => write!(line, ",\"{name}\":[{counts}]"),
        };
    }

    /// Appends a counter.
    #[inline(never)]
    fn tell(self, line: &mut String, front: &str, name: &str, count: u64) {
        // Writing to memory does not fail.
        let _ = match self {
            StatsFormat::Text if count == 0 => Ok(()),
            StatsFormat::Whole | StatsFormat::Text => write!(line, " {front}{name}={count}"),
            StatsFormat::Json => write!(line, ",\"{front}{name}\":{count}"),
        };
    }
}

impl Counters {
    /// The line of statistics, without a line feed. `by_worker` has the connections accepted by
    /// each worker; it may be empty. `lines_dropped` counts lines of the whole program that found
    /// no room.
    pub fn line(&self, format: StatsFormat, by_worker: &[u64], lines_dropped: u64) -> String {
        self.line_with(format, by_worker, &[], lines_dropped)
    }

    /// The same with `more` counts, by name.
    pub fn line_with(
        &self,
        format: StatsFormat,
        by_worker: &[u64],
        more: &[(&str, u64)],
        lines_dropped: u64,
    ) -> String {
        let mut line = String::new();
        self.each(&mut |front, name, count| format.tell(&mut line, front, name, count));
        if !by_worker.is_empty() {
            format.tell_list(&mut line, "connections_by_worker", by_worker);
        }
        for (name, count) in more {
            format.tell(&mut line, "", name, *count);
        }
        format.tell(&mut line, "", "log_lines_dropped", lines_dropped);
        match format {
            StatsFormat::Json => format!("{{{}}}", &line[1..]),
            StatsFormat::Whole | StatsFormat::Text => format!("stats{line}"),
        }
    }

    /// The counts as plain numbers, for another process of the same program.
    pub fn numbers(&self, take: &mut dyn FnMut(u64)) {
        self.each(&mut |_, _, count| take(count));
    }

    /// The counters with these numbers; those that are missing are 0.
    pub fn from_numbers(mut numbers: impl Iterator<Item = u64>) -> Counters {
        let mut counters = Counters::default();
        counters.each_mut(&mut |count| *count = numbers.next().unwrap_or(0));
        counters
    }

    /// What remains of a worker that has ended: the counts, without current numbers.
    #[must_use]
    pub fn of_the_past(mut self) -> Counters {
        (self.connections_now, self.commands_now) = (0, 0);
        self
    }

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
        let line = sum.line(StatsFormat::Whole, &[], 0);
        assert!(line.starts_with("stats connections_now=6 "), "{line}");
        assert!(
            line.contains(" recv=28 ") && line.contains(" closed_idle=14"),
            "{line}"
        );
        assert!(line.ends_with(" log_lines_dropped=0") && !line.contains('\n'));
    }

    #[test]
    fn a_line_for_people_has_no_zero_and_a_line_of_json_has_every_count() {
        let mut counters = Counters {
            recv: 14,
            ..Counters::default()
        };
        counters.closed[CloseReason::Idle as usize] = 7;
        let line = counters.line(StatsFormat::Text, &[], 2);
        assert_eq!(line, "stats recv=14 closed_idle=7 log_lines_dropped=2");
        assert_eq!(Counters::default().line(StatsFormat::Text, &[], 0), "stats");
        let (whole, json) = (
            counters.line(StatsFormat::Whole, &[], 2),
            counters.line(StatsFormat::Json, &[], 2),
        );
        assert!(json.starts_with("{\"connections_now\":0,") && json.ends_with('}'));
        let pairs = json.trim_matches(['{', '}']).split(',');
        let pairs: Vec<String> = pairs.map(|pair| pair.replace('"', "")).collect();
        let expected: Vec<String> = whole
            .split(' ')
            .skip(1)
            .map(|pair| pair.replace('=', ":"))
            .collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn counts_that_were_passed_on_as_numbers_are_the_same() {
        let mut counters = Counters {
            connections_now: 3,
            commands_now: 4,
            refused_requests: u64::MAX,
            ..Counters::default()
        };
        counters.closed[CloseReason::ALL.len() - 1] = 7;
        let mut numbers = Vec::new();
        counters.numbers(&mut |number| numbers.push(number));
        assert_eq!(Counters::from_numbers(numbers.iter().copied()), counters);
        let none = Counters::from_numbers([].into_iter());
        assert_eq!(none, Counters::default());
        let past = counters.clone().of_the_past();
        assert_eq!((past.connections_now, past.commands_now), (0, 0));
        assert_eq!(past.refused_requests, counters.refused_requests);
    }

    #[test]
    fn counts_beyond_32_and_63_bits_are_added_passed_on_and_written_whole() {
        for (one, sum) in [
            ((1 << 31) - 1, (1_u64 << 32) - 2),
            (1 << 31, 1 << 32),
            ((1 << 31) + 1, (1 << 32) + 2),
            ((1 << 62) - 1, (1 << 63) - 2),
            (1 << 62, 1 << 63),
            ((1 << 62) + 1, (1 << 63) + 2),
        ] {
            let worker = Counters::from_numbers(std::iter::repeat(one));
            let mut all = worker.clone();
            all.add(&worker);
            let mut numbers = Vec::new();
            all.numbers(&mut |number| numbers.push(number));
            assert!(numbers.iter().all(|&number| number == sum), "{numbers:?}");
            let words: Vec<AtomicU64> = (0..Counters::WORDS).map(|_| AtomicU64::new(0)).collect();
            all.store(&words);
            assert_eq!(Counters::load(&words), all);
            for (format, told) in [
                (StatsFormat::Whole, format!(" bytes_in={sum} ")),
                (StatsFormat::Text, format!(" closed_idle={sum} ")),
                (StatsFormat::Json, format!(",\"frames\":{sum},")),
            ] {
                let line = all.line(format, &[sum], sum);
                assert!(line.contains(&told), "{told} in {line}");
            }
        }
    }

    #[test]
    fn connections_by_worker_are_a_list_in_the_order_of_the_workers() {
        let counters = Counters::default();
        for (format, listed) in [
            (StatsFormat::Text, "stats connections_by_worker=3,0,12"),
            (StatsFormat::Whole, " connections_by_worker=3,0,12 "),
            (StatsFormat::Json, ",\"connections_by_worker\":[3,0,12],"),
        ] {
            let line = counters.line(format, &[3, 0, 12], 0);
            assert!(line.contains(listed), "{line}");
        }
    }

    #[test]
    fn close_reasons_are_listed_in_the_order_of_their_numbers() {
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
