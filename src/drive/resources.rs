//! What a server takes from the kernel before its first turn, and what the kernel may refuse.
//!
//! All of it comes here in one place, so that a start that fails has one place to give the
//! listeners back. Neighbour: `epoll`, which builds the server of it.

use std::io;

use crate::connection::Protocol;
use crate::kernel::{Interest, Opener, Spawner, Token};
use crate::service::Service;

use super::Server;
use super::children::Children;
use super::settings::Settings;
use super::workspaces::Workspaces;

pub(super) struct Resources<K: Spawner + Opener> {
    pub(super) children: Children<K>,
    /// The descriptor kept in reserve.
    pub(super) reserve: K::Socket,
    pub(super) workspaces: Workspaces,
}

impl<K: Spawner + Opener> Resources<K> {
    /// Takes them, and starts to report `listeners`.
    pub(super) fn take<S: Service>(
        kernel: &mut K,
        listeners: &[K::Socket],
        protocol: &Protocol<S>,
        settings: &Settings,
    ) -> io::Result<Resources<K>> {
        for (number, listener) in listeners.iter().enumerate() {
            kernel.register(listener, Token::listener(number as u32), Interest::READ)?;
        }
        let slots = settings.connections_max;
        Ok(Resources {
            children: Server::places_for_commands(kernel, protocol, slots)?,
            reserve: kernel.reserve()?,
            workspaces: Workspaces::new(settings.workspaces, settings.workspace)?,
        })
    }
}
