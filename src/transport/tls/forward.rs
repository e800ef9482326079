//! The calls of a kernel that TLS does not change: opening sockets, programs, standard streams.
//!
//! Listeners, the descriptors of programs and the standard streams are never in the table of
//! sessions. Neighbour: `kernel`, the calls that it does change.

use std::io;
use std::net::IpAddr;

use super::kernel::Tls;
use crate::kernel::journal::Recordable;
use crate::kernel::{
    Address, Child, ConnectOptions, DatagramBatch, Datagrams, ListenOptions, OpenError, Opener,
    Poller, Sender, Spawner, Stream, Streams,
};

impl<K: Recordable + Poller + Datagrams> Datagrams for Tls<K> {
    fn carries_datagrams(&mut self, socket: &K::Socket) -> io::Result<bool> {
        self.kernel.carries_datagrams(socket)
    }

    fn receive_datagrams(
        &mut self,
        socket: &K::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.kernel.receive_datagrams(socket, batch, count)
    }

    fn send_datagrams(
        &mut self,
        socket: &K::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.kernel.send_datagrams(socket, batch, count)
    }

    fn send_datagram(
        &mut self,
        socket: &K::Socket,
        bytes: &[u8],
        to: &Sender,
    ) -> io::Result<usize> {
        self.kernel.send_datagram(socket, bytes, to)
    }

    fn stop_arrivals(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.kernel.stop_arrivals(socket)
    }

    fn owns(&mut self, ip: IpAddr) -> bool {
        self.kernel.owns(ip)
    }
}

impl<K: Recordable + Poller + Opener> Opener for Tls<K> {
    fn listen(
        &mut self,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<K::Socket, OpenError> {
        self.kernel.listen(address, options)
    }

    fn share(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        self.kernel.share(listener)
    }

    fn close_listener(&mut self, listener: K::Socket) {
        self.kernel.close_listener(listener);
    }

    fn own_path(&mut self, listener: &K::Socket) {
        self.kernel.own_path(listener);
    }

    fn leave_path(&mut self, listener: &K::Socket) {
        self.kernel.leave_path(listener);
    }

    fn local(&mut self, socket: &K::Socket) -> io::Result<Address> {
        self.kernel.local(socket)
    }

    fn queue_length(&mut self, listener: &K::Socket) -> io::Result<usize> {
        self.kernel.queue_length(listener)
    }

    fn stop_handshakes(&mut self, listener: &K::Socket) -> io::Result<()> {
        self.kernel.stop_handshakes(listener)
    }

    fn stop_queueing(&mut self, listener: &K::Socket) -> io::Result<()> {
        self.kernel.stop_queueing(listener)
    }

    fn connect(
        &mut self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<K::Socket, OpenError> {
        self.kernel.connect(address, options)
    }

    fn reserve(&mut self) -> io::Result<K::Socket> {
        self.kernel.reserve()
    }
}

impl<K: Recordable + Spawner> Spawner for Tls<K> {
    type Command = K::Command;

    fn supervise(&mut self) -> io::Result<()> {
        self.kernel.supervise()
    }

    fn prepare(&mut self, line: &str) -> io::Result<K::Command> {
        self.kernel.prepare(line)
    }

    fn spawn(&mut self, command: &K::Command) -> io::Result<Child<K::Socket>> {
        self.kernel.spawn(command)
    }

    fn take_output(&mut self, pipe: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        self.kernel.take_output(pipe, space)
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        self.kernel.kill(id)
    }

    fn reap(&mut self, exit: &K::Socket) -> io::Result<bool> {
        self.kernel.reap(exit)
    }

    fn has_ended(&mut self, exit: &K::Socket) -> io::Result<bool> {
        self.kernel.has_ended(exit)
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        self.kernel.take_child_report()
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        self.kernel.ended_child()
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        self.kernel.reap_orphan(id)
    }
}

impl<K: Recordable + Streams> Streams for Tls<K> {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        self.kernel.watch(stream, on)
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.kernel.input(space)
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kernel.output(bytes)
    }
}
