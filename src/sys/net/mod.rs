//! Sockets, their addresses, and the interfaces of this machine.

pub(crate) mod address;
pub(crate) mod asked_address;
pub(crate) mod datagrams;
pub(crate) mod interface;
pub(crate) mod rights;
pub(crate) mod socket;
