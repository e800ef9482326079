//! Several workers in one simulated kernel: each has an epoll instance of its own.
//!
//! A [`Worker`] is the kernel as one worker has it. The workers take turns, so that no wait moves
//! the clock: a wait with nothing to report ends at once, and its worker sleeps until it is woken
//! or [`Sim::pass_to`] has reached its deadline. Connections and listeners are the same for all, as
//! among threads. Invariant: a call is made with the instance of its worker. epoll_ctl(2),
//! EPOLLEXCLUSIVE.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mynah::kernel::{
    Address, Child, ConnectOptions, DatagramBatch, Datagrams, Event, Interest, ListenOptions,
    OpenError, Opener, Outcome, Poller, Sender, Signal, Sockets, Spawner, Time, Token,
};

use super::Sim;
use super::pair::Owner;
use super::table::{File, POLLERS, Socket};

/// The kernel of one worker.
pub struct Worker {
    sim: Arc<Mutex<Sim>>,
    place: usize,
}

impl Worker {
    /// The kernels of `count` workers, and the one kernel behind them.
    pub fn of(mut sim: Sim, count: usize) -> (Arc<Mutex<Sim>>, Vec<Worker>) {
        assert!(count <= POLLERS, "there is room for {POLLERS} workers");
        sim.apart = count > 1;
        let sim = Arc::new(Mutex::new(sim));
        let worker = |place| Worker {
            sim: Arc::clone(&sim),
            place,
        };
        let workers = (0..count).map(worker).collect();
        (sim, workers)
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        let mut sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
        sim.table.current = self.place;
        sim
    }
}

impl Sim {
    /// From now on the kernel is seen, by a test, as worker `place` sees it.
    pub fn look_as(&mut self, place: usize) {
        self.table.current = place;
    }

    /// Wakes the worker at `place`, as by its eventfd.
    pub fn wake_worker(&mut self, place: usize) {
        self.woken[place] = true;
        self.table.sleeps[place] = false;
    }

    /// Whether the worker sleeps, and until when: it was not woken, and its time has not come.
    pub fn sleeps_until(&self, place: usize) -> Option<Time> {
        let until = self.asleep[place].filter(|until| *until > self.now);
        until.filter(|_| self.table.sleeps[place])
    }

    /// A copy of a connection in another process, as by SCM_RIGHTS: unix(7). From now on the end is
    /// reported to the poller of the copy, because the other one is to be deregistered. The copy
    /// belongs to the process at `place`.
    ///
    /// # Errors
    ///
    /// There are too many descriptors.
    pub fn pass(&mut self, socket: &Socket, place: usize) -> io::Result<Socket> {
        self.table.check(socket);
        let Some((pair, side)) = self.table.stream(socket.number) else {
            panic!("only connections are passed");
        };
        let opened = self.table.open(File::Stream { pair, side }, usize::MAX);
        let copy = opened.map_err(io::Error::from_raw_os_error)?;
        self.table.give(&copy, place);
        self.pairs[pair].ends[side].owner = Owner::Descriptor(copy.number);
        Ok(copy)
    }

    /// The process at `place` is killed: all that it has opened, or was passed, is closed. Its
    /// peers see that, and the others see nothing.
    pub fn die(&mut self, place: usize) {
        for socket in self.table.of_owner(place) {
            let stream = self.table.stream(socket.number);
            let is_last = |(pair, side)| self.table.has_one(pair, side);
            if let Some((pair, _)) = stream.filter(|&it| is_last(it)) {
                self.killed.insert(self.pairs[pair].serial);
            }
            // The kernel ends a registration with the last descriptor of the file. Here a copy has
            // been made just before the connection is deregistered, so there is none left.
            let _ = self.table.deregister(socket.number);
            self.close(socket);
        }
    }

    /// Moves the clock, while all workers sleep, to `time` or to the next SYN that is sent again.
    pub fn pass_to(&mut self, time: Time) {
        let due = self.knocking.iter().map(|knock| knock.due).min();
        self.now = self.now.max(time.min(due.unwrap_or(Time::NEVER)));
        self.knock_again();
    }

    /// How many connections were reset in the queue of a listener that was closed.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The number of a listener, and whether a connection waits there.
    pub fn is_called_at(&self, number: u32) -> bool {
        let listener = self.table.listener(number);
        listener.is_some_and(|listener| !listener.queue.is_empty())
    }

    /// The numbers of the open listeners.
    pub fn listeners(&self) -> &[u32] {
        &self.listening
    }
}

impl Sockets for Worker {
    type Socket = Socket;

    fn accept(&mut self, listener: &Socket) -> io::Result<Socket> {
        self.sim().accept(listener)
    }

    fn read(&mut self, socket: &Socket, space: &mut [u8]) -> io::Result<usize> {
        self.sim().read(socket, space)
    }

    fn write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        self.sim().write(socket, bytes)
    }

    fn batch_max(&self) -> usize {
        self.sim().batch_max()
    }

    fn batch_min(&self) -> usize {
        self.sim().batch_min()
    }

    fn receive_batch<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Socket> + Clone,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize {
        self.sim().receive_batch(sockets, space, size, results)
    }

    fn send_batch<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a Socket, &'a [u8])> + Clone,
        results: &mut Vec<Outcome>,
    ) -> usize {
        self.sim().send_batch(sends, results)
    }

    fn shutdown(&mut self, socket: &Socket) -> io::Result<()> {
        self.sim().shutdown(socket)
    }

    fn unacknowledged(&mut self, socket: &Socket) -> io::Result<usize> {
        self.sim().unacknowledged(socket)
    }

    fn take_error(&mut self, socket: &Socket) -> io::Result<()> {
        self.sim().take_error(socket)
    }

    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()> {
        self.sim().random(bytes)
    }

    fn peer(&mut self, socket: &Socket) -> io::Result<Address> {
        self.sim().peer(socket)
    }

    fn close(&mut self, socket: Socket) {
        self.sim().close(socket);
    }
}

impl Datagrams for Worker {
    fn carries_datagrams(&mut self, socket: &Socket) -> io::Result<bool> {
        self.sim().carries_datagrams(socket)
    }

    fn receive_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.sim().receive_datagrams(socket, batch, count)
    }

    fn send_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.sim().send_datagrams(socket, batch, count)
    }

    fn send_datagram(&mut self, socket: &Socket, bytes: &[u8], to: &Sender) -> io::Result<usize> {
        self.sim().send_datagram(socket, bytes, to)
    }

    fn stop_arrivals(&mut self, socket: &Socket) -> io::Result<()> {
        self.sim().stop_arrivals(socket)
    }

    fn owns(&mut self, ip: IpAddr) -> bool {
        self.sim().owns(ip)
    }
}

impl Poller for Worker {
    fn register(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.sim().register(socket, token, interest)
    }

    fn reregister(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.sim().reregister(socket, token, interest)
    }

    fn deregister(&mut self, socket: &Socket) -> io::Result<()> {
        self.sim().deregister(socket)
    }

    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        self.sim().wait(events, until)
    }

    fn now(&mut self) -> Time {
        self.sim().time()
    }

    fn time_of_day(&mut self) -> Duration {
        self.sim().time_of_day()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        self.sim().take_signal()
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        self.sim().take_wake_up()
    }
}

impl Opener for Worker {
    fn listen(&mut self, address: &Address, options: &ListenOptions) -> Result<Socket, OpenError> {
        self.sim().listen(address, options)
    }

    fn share(&mut self, listener: &Socket) -> io::Result<Socket> {
        self.sim().share(listener)
    }

    fn close_listener(&mut self, listener: Socket) {
        self.sim().close_listener(listener);
    }

    fn local(&mut self, socket: &Socket) -> io::Result<Address> {
        self.sim().local(socket)
    }

    fn queue_length(&mut self, listener: &Socket) -> io::Result<usize> {
        self.sim().queue_length(listener)
    }

    fn stop_handshakes(&mut self, listener: &Socket) -> io::Result<()> {
        self.sim().stop_handshakes(listener)
    }

    fn stop_queueing(&mut self, listener: &Socket) -> io::Result<()> {
        self.sim().stop_queueing(listener)
    }

    fn connect(
        &mut self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Socket, OpenError> {
        Opener::connect(&mut *self.sim(), address, options)
    }

    fn reserve(&mut self) -> io::Result<Socket> {
        self.sim().reserve()
    }
}

impl Spawner for Worker {
    type Command = <Sim as Spawner>::Command;

    fn supervise(&mut self) -> io::Result<()> {
        self.sim().supervise()
    }

    fn prepare(&mut self, line: &str) -> io::Result<Self::Command> {
        self.sim().prepare(line)
    }

    fn spawn(&mut self, command: &Self::Command) -> io::Result<Child<Socket>> {
        self.sim().spawn(command)
    }

    fn take_output(&mut self, pipe: &Socket, space: &mut [u8]) -> io::Result<usize> {
        self.sim().take_output(pipe, space)
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        self.sim().kill(id)
    }

    fn reap(&mut self, exit: &Socket) -> io::Result<bool> {
        self.sim().reap(exit)
    }

    fn has_ended(&mut self, exit: &Socket) -> io::Result<bool> {
        self.sim().has_ended(exit)
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        self.sim().take_child_report()
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        self.sim().ended_child()
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        self.sim().reap_orphan(id)
    }
}
