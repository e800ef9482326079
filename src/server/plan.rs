//! The division of the memory ceiling, computed before anything is opened.
//!
//! ```text
//!   ceiling = processes x (program + service) + connections x slot
//!           + workers x (worker + datagram sockets + ring + workspaces x workspace)
//! ```
//!
//! All terms except the workspaces are fixed. As many workspaces are planned as fit below the
//! ceiling, but never more than there are connections. The sum is printed at start and never
//! exceeded, because no memory is taken later. Neighbours: `pool` holds the workspaces, `limits`
//! the fixed sizes.

use crate::limits::{
    BLOCKING_READ_SIZE, BLOCKING_STACK_SIZE, BLOCKING_THREAD_SIZE, FORK_PROCESS_SIZE, PROGRAM_SIZE,
    READ_SIZE, STREAM_REPLY_SIZE, WORKER_SIZE,
};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;

use super::blocking::{Ledger, Model};
use super::pool::{WorkspaceSize, Workspaces};

/// The requirements that a plan must meet.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Total bytes.
    pub memory_max: usize,
    /// Total connections, over all workers.
    pub connections_max: usize,
    /// Workers, over all processes.
    pub threads: usize,
    /// Processes, a supervisor included. Each has the program and the service.
    pub processes: usize,
    /// The largest frame in bytes.
    pub frame_size_max: usize,
    /// Bytes that a connection takes, see [`super::Server::slot_size`].
    pub slot_size: usize,
    /// Bytes that the datagram sockets of a worker take, see [`super::datagram::memory`].
    pub datagrams_size: usize,
    /// Bytes that the submission ring of a worker takes; 0 without one.
    pub ring_size: usize,
}

/// How connections are served that have a thread or a process each.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// The driver.
    pub model: Model,
    /// Threads; `None` is one for each connection.
    pub holders: Option<usize>,
    /// Bytes of each of them with all its memory; `None` is that of the model.
    pub holder_size: Option<usize>,
    /// Fewer connections than [`Demand::connections_max`] will do.
    pub may_shrink: bool,
}

/// What each worker gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Sizes of the two halves of a workspace.
    pub workspace: WorkspaceSize,
    /// Workspaces per worker.
    pub workspaces: usize,
    /// Total bytes, over all workers.
    pub ceiling: usize,
}

impl Demand {
    /// Reduces the number of connections so that a quarter of the memory is left for workspaces:
    /// where a slot takes much, all of them may not fit.
    pub fn shrink<S: Service>(&mut self, protocol: &Protocol<S>) {
        let room = self.memory_max.saturating_sub(self.fixed(protocol)) / 4 * 3;
        let fit = (room / self.slot_size.max(1)).max(self.threads);
        self.connections_max = self.connections_max.min(fit);
    }

    /// What is needed without any connection.
    fn fixed<S: Service>(&self, protocol: &Protocol<S>) -> usize {
        self.processes * (PROGRAM_SIZE + protocol.service.memory_max())
            + self.threads * (WORKER_SIZE + self.datagrams_size + self.ring_size)
    }

    /// Divides the memory.
    ///
    /// # Errors
    ///
    /// One line with the number of bytes that would be enough.
    pub fn plan<S: Service>(&self, protocol: &Protocol<S>) -> Result<Plan, String> {
        let workspace = self.workspace(protocol, READ_SIZE);
        let each = workspace.stride() + Workspaces::CURSORS_SIZE;
        let fixed = self.fixed(protocol) + self.connections_max * self.slot_size;
        let needed = fixed.saturating_add(each.saturating_mul(self.threads));
        if self.memory_max < needed {
            return Err(format!(
                "too little: {} connections and one workspace of {} bytes for each of {} workers \
                 take {needed} bytes",
                self.connections_max, each, self.threads,
            ));
        }
        let connections = self.connections_max.div_ceil(self.threads);
        let workspaces = ((self.memory_max - fixed) / self.threads / each).min(connections);
        let ceiling = fixed + self.threads * workspaces * each;
        Ok(Plan {
            workspace,
            workspaces,
            ceiling,
        })
    }

    /// The same where each connection has a thread or a process. Returns the number of connections
    /// too: as many as fit, if it `may_shrink`.
    ///
    /// # Errors
    ///
    /// One line with the number of bytes that would be enough.
    pub fn plan_apart<S: Service>(
        &self,
        protocol: &Protocol<S>,
        apart: Apart,
    ) -> Result<(Plan, usize), String> {
        let workspace = self.workspace(protocol, BLOCKING_READ_SIZE);
        let service = protocol.service.memory_max();
        let holder = match apart.model {
            // A process that loads the service again has a copy of its own.
            Model::Fork => FORK_PROCESS_SIZE + service,
            _ => BLOCKING_STACK_SIZE + BLOCKING_THREAD_SIZE,
        };
        let each = workspace.stride() + Workspaces::CURSORS_SIZE + holder;
        let each = apart.holder_size.unwrap_or(each);
        let fixed = PROGRAM_SIZE + service + WORKER_SIZE;
        let slot = self.slot_size + Ledger::PAGE_SIZE;
        let sum = |connections: usize| {
            let holders = apart.holders.unwrap_or(connections);
            let holders = each.saturating_mul(holders);
            fixed
                .saturating_add(slot.saturating_mul(connections))
                .saturating_add(holders)
        };
        let mut connections = self.connections_max;
        if apart.may_shrink {
            let holders = apart
                .holders
                .map_or(0, |holders| each.saturating_mul(holders));
            let each = slot + apart.holders.map_or(each, |_| 0);
            let room = self
                .memory_max
                .saturating_sub(fixed)
                .saturating_sub(holders);
            connections = connections.min(room / each).max(1);
        }
        let ceiling = sum(connections);
        if self.memory_max < ceiling {
            let what = match (apart.model, apart.holders) {
                (Model::Fork, _) => format!("{connections} processes"),
                (_, holders) => format!("{} threads", holders.unwrap_or(connections)),
            };
            return Err(format!(
                "too little: {what} of {each} bytes, each with a workspace, and {connections} \
                 connections take {ceiling} bytes"
            ));
        }
        let plan = Plan {
            workspace,
            workspaces: 1,
            ceiling,
        };
        Ok((plan, connections))
    }

    fn workspace<S: Service>(&self, protocol: &Protocol<S>, read_size: usize) -> WorkspaceSize {
        if !protocol.framing.has_boundaries() {
            debug_assert!(protocol.awaited_max() <= STREAM_REPLY_SIZE);
            let replies = if protocol.reply_max(1) == 0 {
                0
            } else {
                STREAM_REPLY_SIZE
            };
            return WorkspaceSize {
                inbound: read_size,
                outbound: replies,
            };
        }
        let longest = protocol.framing.frame_size_max(self.frame_size_max);
        let replies = match protocol.reply_max(longest).max(protocol.awaited_max()) {
            0 => 0,
            // Short replies share this space: the replies to all requests of one read go out
            // together.
            reply => reply.max(STREAM_REPLY_SIZE),
        };
        WorkspaceSize {
            inbound: longest.max(read_size),
            outbound: replies,
        }
    }
}

/// The share of `worker` when `all` is divided among `threads`.
pub fn share(all: u32, threads: usize, worker: usize) -> u32 {
    // Both fit: the number of workers is at most PROCESSES_MAX times THREADS_MAX.
    let (threads, worker) = (threads as u32, worker as u32);
    all / threads + u32::from(worker < all % threads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::framing::{Framing, OnTooLong, Raw};
    use crate::protocol::service::{Answer, Echo, Reply, Request, Robot, UpperUnicode};

    const DEMAND: Demand = Demand {
        memory_max: 64 << 20,
        connections_max: 1000,
        threads: 2,
        processes: 1,
        frame_size_max: 1 << 20,
        slot_size: 100,
        datagrams_size: 0,
        ring_size: 0,
    };
    const ECHO: Protocol<Echo> = Protocol {
        framing: Framing::Raw(Raw),
        on_too_long: OnTooLong::Close,
        service: Echo,
    };

    #[test]
    fn the_ceiling_is_never_above_what_was_asked_for() {
        for memory_max in [8 << 20, 9_999_999, 64 << 20, 1 << 30] {
            let plan = Demand {
                memory_max,
                ..DEMAND
            }
            .plan(&ECHO)
            .unwrap();
            assert!(plan.ceiling <= memory_max, "{plan:?}");
            assert!(plan.workspaces >= 1);
        }
    }

    #[test]
    fn one_byte_less_than_needed_is_too_little() {
        let error = Demand {
            memory_max: 1,
            ..DEMAND
        }
        .plan(&ECHO)
        .unwrap_err();
        let needed: usize = error.split(' ').nth_back(1).unwrap().parse().unwrap();
        assert_eq!(
            Demand {
                memory_max: needed,
                ..DEMAND
            }
            .plan(&ECHO)
            .unwrap()
            .workspaces,
            1
        );
        assert!(
            Demand {
                memory_max: needed - 1,
                ..DEMAND
            }
            .plan(&ECHO)
            .is_err()
        );
    }

    /// Answers like echo, and keeps memory of its own.
    struct Keeper;

    impl Service for Keeper {
        type State = ();

        fn open(&self) {}

        fn memory_max(&self) -> usize {
            1 << 20
        }

        fn serve(&mut self, _: &mut (), _: Request<'_>, _: &mut Reply<'_>) -> Answer {
            Answer::InPlace
        }
    }

    #[test]
    fn memory_of_a_service_is_within_the_ceiling() {
        let keeper = Protocol {
            framing: ECHO.framing,
            on_too_long: OnTooLong::Close,
            service: Keeper,
        };
        // There is room for one workspace per connection, so the difference is the service's
        // memory.
        let demand = Demand {
            connections_max: 2,
            ..DEMAND
        };
        let (with, without) = (demand.plan(&keeper), demand.plan(&ECHO));
        let ceilings = (with.unwrap().ceiling, without.unwrap().ceiling);
        assert_eq!(ceilings.0 - ceilings.1, 1 << 20);
    }

    #[test]
    fn the_ceiling_is_the_sum_of_its_parts() {
        let each = READ_SIZE + Workspaces::CURSORS_SIZE;
        let fixed = PROGRAM_SIZE + (1 << 20) + 2 * WORKER_SIZE + 1000 * 100;
        let keeper = Protocol {
            framing: ECHO.framing,
            on_too_long: OnTooLong::Close,
            service: Keeper,
        };
        // One byte too few for three workspaces per worker; exactly enough; one byte too few for
        // four.
        for (more, workspaces) in [(6 * each - 1, 2), (6 * each, 3), (8 * each - 1, 3)] {
            let memory_max = fixed + more;
            let plan = Demand {
                memory_max,
                ..DEMAND
            }
            .plan(&keeper)
            .unwrap();
            let ceiling = fixed + 2 * workspaces * each;
            assert_eq!((plan.workspaces, plan.ceiling), (workspaces, ceiling));
        }
    }

    #[test]
    fn each_process_has_the_program_and_the_service() {
        let each = READ_SIZE + Workspaces::CURSORS_SIZE;
        let keeper = Protocol {
            framing: ECHO.framing,
            on_too_long: OnTooLong::Close,
            service: Keeper,
        };
        for processes in [1, 3] {
            let fixed = processes * (PROGRAM_SIZE + (1 << 20)) + 2 * WORKER_SIZE + 1000 * 100;
            let demand = Demand {
                processes,
                memory_max: fixed + 4 * each,
                ..DEMAND
            };
            let plan = demand.plan(&keeper).unwrap();
            assert_eq!((plan.workspaces, plan.ceiling), (2, demand.memory_max));
        }
    }

    #[test]
    fn each_worker_has_the_batches_of_its_datagram_sockets() {
        let demand = Demand {
            connections_max: 2,
            datagrams_size: 12_345,
            ..DEMAND
        };
        let without = Demand {
            datagrams_size: 0,
            ..demand
        };
        let ceilings = [demand, without].map(|demand| demand.plan(&ECHO).unwrap().ceiling);
        assert_eq!(ceilings[0] - ceilings[1], 2 * 12_345);
    }

    #[test]
    fn each_worker_has_its_submission_ring() {
        let demand = Demand {
            connections_max: 2,
            ring_size: 6_789,
            ..DEMAND
        };
        let without = Demand {
            ring_size: 0,
            ..demand
        };
        let ceilings = [demand, without].map(|demand| demand.plan(&ECHO).unwrap().ceiling);
        assert_eq!(ceilings[0] - ceilings[1], 2 * 6_789);
    }

    #[test]
    fn shares_add_up_to_the_whole_and_differ_by_at_most_one() {
        for (all, threads) in (0..20).flat_map(|all| (1..7).map(move |threads| (all, threads))) {
            let shares = (0..threads).map(|worker| share(all, threads, worker));
            assert_eq!(shares.clone().sum::<u32>(), all);
            assert!(shares.clone().max().unwrap() - shares.min().unwrap() <= 1);
        }
    }

    #[test]
    fn there_are_no_more_workspaces_than_connections() {
        let demand = Demand {
            connections_max: 3,
            ..DEMAND
        };
        assert_eq!(demand.plan(&ECHO).unwrap().workspaces, 2);
    }

    #[test]
    fn a_workspace_holds_the_longest_frame_and_its_answer() {
        let framing = Framing::parse("u32be").unwrap();
        let upper = Protocol {
            framing,
            on_too_long: OnTooLong::Close,
            service: UpperUnicode,
        };
        let size = DEMAND.plan(&upper).unwrap().workspace;
        assert!(size.inbound >= DEMAND.frame_size_max);
        assert!(size.outbound >= upper.reply_max(DEMAND.frame_size_max - 4));
        let echo = Protocol {
            framing,
            on_too_long: OnTooLong::Close,
            service: Echo,
        };
        assert_eq!(DEMAND.plan(&echo).unwrap().workspace.outbound, 0);
    }

    #[test]
    fn short_replies_to_many_requests_have_room_together() {
        let robot = Protocol {
            framing: Framing::parse("line").unwrap(),
            on_too_long: OnTooLong::Close,
            service: Robot,
        };
        assert!(robot.reply_max(DEMAND.frame_size_max) < 100);
        let size = DEMAND.plan(&robot).unwrap().workspace;
        assert_eq!(size.outbound, STREAM_REPLY_SIZE);
    }
}
