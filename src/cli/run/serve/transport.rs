//! What lies between the sockets of a server and its connections.
//!
//! The loop is compiled for a kernel, so TLS is another kernel around the one of this machine: once
//! for the enum of all services. The blocking models put it around the kernel of each thread
//! instead. Neighbours: `serve`, which is generic over [`Carrier`]; `tls`, which reads the files.

use crate::kernel::{Datagrams, Linux, Opener, Socket, Spawner, Traced};

/// The kernel of the connections of a worker.
pub(super) trait Carrier:
    Spawner<Socket = Socket> + Opener + Datagrams + Send + Sized + 'static
{
    /// The carrier around `kernel`, for connections in slots below `slots`.
    fn around(kernel: Traced<Linux>, secure: &Secure, slots: usize) -> Self;
}

impl Carrier for Traced<Linux> {
    fn around(kernel: Traced<Linux>, _: &Secure, _: usize) -> Traced<Linux> {
        kernel
    }
}

#[cfg(not(feature = "tls"))]
mod secure {
    /// How connections are secured: not at all.
    #[derive(Clone, Copy, Default)]
    pub(in super::super) struct Secure;

    impl Secure {
        /// Memory of a connection beside its slot.
        pub(in super::super) fn slot_size(&self) -> usize {
            0
        }
    }
}

#[cfg(feature = "tls")]
mod secure {
    use std::time::Duration;

    use super::Carrier;
    use crate::kernel::{Linux, Traced};
    use crate::limits::TLS_SESSION_SIZE;
    use crate::transport::tls::{Side, Tls};

    /// How connections are secured.
    #[derive(Clone, Default)]
    pub(in super::super) struct Secure {
        pub(in super::super) side: Side,
        pub(in super::super) handshake_timeout: Option<Duration>,
        /// A header may come before the handshake.
        pub(in super::super) has_header: bool,
    }

    impl Secure {
        /// Memory of a connection beside its slot.
        pub(in super::super) fn slot_size(&self) -> usize {
            match self.side {
                Side::Plain => 0,
                _ => TLS_SESSION_SIZE + Tls::<Traced<Linux>>::SLOT_SIZE,
            }
        }
    }

    impl Carrier for Tls<Traced<Linux>> {
        fn around(kernel: Traced<Linux>, secure: &Secure, slots: usize) -> Self {
            Tls::new(kernel, secure.side.clone(), slots, secure.handshake_timeout)
                .behind_header(secure.has_header)
        }
    }
}

pub(super) use secure::Secure;
