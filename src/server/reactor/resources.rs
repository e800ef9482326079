//! The resources that a server takes from the kernel before its first turn.
//!
//! The kernel may refuse any of them. All are taken here, so a start that fails closes the
//! listeners in one place. Neighbour: `reactor`, which builds the server from them.

use std::io;

use crate::kernel::{Interest, Opener, Spawner, Token};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::effects::children::Children;
use crate::server::pool::Workspaces;
use crate::server::settings::Settings;

pub(in crate::server) struct Resources<K: Spawner + Opener> {
    pub(in crate::server) children: Children<K>,
    /// The spare descriptor.
    pub(in crate::server) reserve: K::Socket,
    pub(in crate::server) workspaces: Workspaces,
}

impl<K: Spawner + Opener> Resources<K> {
    /// Takes the resources, and registers `listeners`.
    pub(in crate::server) fn take<S: Service>(
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
            children: Server::children_for(kernel, protocol, slots)?,
            reserve: kernel.reserve()?,
            workspaces: Workspaces::new(settings.workspaces, settings.workspace)?,
        })
    }
}
