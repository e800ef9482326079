//! Clients that a load balancer announces: the peers that may announce, and what they announced.
//!
//! ```text
//!   insert      expects: whether a header has to come, by the address of the peer
//!   its header  enter: the announced address is kept, and counted where addresses are limited
//!   release     leave
//! ```
//!
//! Behind a load balancer all connections have its address, so the connections of each address are
//! counted here, by the announced address, and not by the acceptor. There is a table by slot only
//! with `--proxy-protocol`; without it there is no `Announced`, and the data path has no call of
//! it. Where each connection has a thread or a process, the counts lie in memory that all share.
//! Neighbours: `reactor::slow_path` calls this, `per_address` counts, `front::proxy` parses.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::per_address::{PerIp, key};
use crate::kernel::{Address, SharedWords, Time, UnixName};
use crate::limits::SHARED_COUNTS_TRIES;
use crate::protocol::connection::Expects;
use crate::protocol::front::proxy::Source;
use crate::server::observe::log_limiter::{CloseLog, LogLimiter};

/// A range of addresses: those that agree with `address` in the first `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    /// The range; `None` if the address has fewer bits.
    pub fn new(address: IpAddr, bits: Option<u8>) -> Option<Range> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        match address.to_canonical() {
            // Peers are compared as IPv4 addresses where they are some.
            address @ IpAddr::V4(_) if most == 128 && (96..=most).contains(&bits) => Some(Range {
                address,
                bits: bits - 96,
            }),
            _ => (bits <= most).then_some(Range { address, bits }),
        }
    }

    /// Whether `ip` is in it. An IPv4 address that is written as an IPv6 address is one.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(ip)) => {
                let differs = range.to_bits() ^ ip.to_bits();
                differs.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(range), IpAddr::V6(ip)) => {
                let differs = range.to_bits() ^ ip.to_bits();
                differs.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Which connections begin with a header.
#[derive(Clone, Debug)]
pub struct ProxyRule {
    /// Whether each has to.
    pub is_required: bool,
    /// The peers that may send one; empty for all.
    pub from: Arc<[Range]>,
    /// Where the connections of each address are counted if they are served apart.
    pub counts: Option<Arc<SharedCounts>>,
}

impl ProxyRule {
    /// Bytes of a connection, for the memory ceiling.
    pub const SLOT_SIZE: usize = size_of::<Source>() + 2 * size_of::<AtomicU64>();

    /// What a new connection begins with. `None` if a header would be data like any other.
    fn expects(&self, peer: Option<&Address>) -> Option<Expects> {
        let may_announce = self.from.is_empty()
            || match peer {
                Some(Address::Tcp(peer)) => self.from.iter().any(|it| it.contains(peer.ip())),
                _ => false,
            };
        match (self.is_required, may_announce) {
            (true, true) => Some(Expects::Header),
            (true, false) => Some(Expects::Never),
            (false, true) => Some(Expects::Maybe),
            (false, false) => None,
        }
    }

    /// The process that served the connection in `slot` has ended.
    pub(in crate::server) fn forget(&self, slot: u32) {
        if let Some(counts) = &self.counts {
            counts.leave(slot);
        }
    }
}

/// The announced clients of the connections of one driver.
pub(in crate::server) struct Announced {
    rule: ProxyRule,
    sources: Box<[Source]>,
    counts: PerIp,
    /// The page of the shared counts.
    page: u32,
    refused_log: LogLimiter,
}

impl Announced {
    /// Bytes of connections in slots below `slots`; `None` if none is announced.
    pub(in crate::server) fn new(
        rule: Option<&ProxyRule>,
        limit: Option<u32>,
        slots: usize,
    ) -> Option<Box<Announced>> {
        let rule = rule?.clone();
        Some(Box::new(Announced {
            sources: vec![Source::Peer; slots].into(),
            counts: PerIp::new(limit.filter(|_| rule.counts.is_none()), slots),
            page: 0,
            rule,
            refused_log: LogLimiter::default(),
        }))
    }

    /// The page of the shared counts that belongs to this driver.
    pub(in crate::server) fn take_page(&mut self, page: u32) {
        self.page = page;
    }

    /// The counts by address.
    pub(in crate::server) fn counts(&self) -> &PerIp {
        &self.counts
    }

    /// Whether the address of a peer decides what is expected of it.
    pub(in crate::server) fn has_ranges(&self) -> bool {
        !self.rule.from.is_empty()
    }

    /// What a new connection begins with. `None` if a header would be data like any other.
    pub(in crate::server) fn expects(&self, peer: Option<&Address>) -> Option<Expects> {
        self.rule.expects(peer)
    }

    /// Whether the address of a client is counted.
    pub(in crate::server) fn is_counted(&self) -> bool {
        self.counts.is_on() || self.rule.counts.is_some()
    }

    /// The connection in `slot` is one of the client `source`, at `address`. Returns `false` if
    /// that address has too many.
    pub(in crate::server) fn enter(
        &mut self,
        slot: u32,
        source: Source,
        address: Option<&Address>,
    ) -> bool {
        self.sources[slot as usize] = source;
        let Some(Address::Tcp(peer)) = address else {
            return true;
        };
        if let Some(counts) = &self.rule.counts {
            return counts.enter(self.page, *peer);
        }
        let has_room = !self.counts.is_on() || self.counts.has_room(*peer);
        if has_room && self.counts.is_on() {
            self.counts.enter(slot, *peer);
        }
        has_room
    }

    /// The connection in `slot` comes from another process, which has let this client in.
    pub(in crate::server) fn keep(&mut self, slot: u32, source: Source, client: Option<&Address>) {
        self.sources[slot as usize] = source;
        if let (Some(Address::Tcp(peer)), true) = (client, self.counts.is_on()) {
            self.counts.enter(slot, *peer);
        }
    }

    /// The client of the connection in `slot`.
    pub(in crate::server) fn source(&self, slot: u32) -> Source {
        self.sources[slot as usize]
    }

    /// Logs that a connection was refused because its address has too many.
    pub(in crate::server) fn log_refused(&mut self, address: Option<&Address>, now: Time) {
        let (Some(Address::Tcp(peer)), Some(more)) = (address, self.refused_log.admit(now)) else {
            return;
        };
        log::warn!(
            "{}: has too many connections, one more is refused{more}",
            peer.ip()
        );
    }

    /// The connection in `slot` is gone.
    pub(in crate::server) fn leave(&mut self, slot: u32) {
        self.sources[slot as usize] = Source::Peer;
        self.counts.leave(slot);
        if let Some(counts) = &self.rule.counts {
            counts.leave(self.page);
        }
    }

    /// The announced address of the connection in `slot`, if it has one.
    pub(in crate::server) fn of(&self, slot: u32) -> Option<Address> {
        address_of(&self.sources[slot as usize])
    }
}

/// The address that a header has announced.
pub(in crate::server) fn address_of(source: &Source) -> Option<Address> {
    let name = match source {
        Source::Peer => return None,
        Source::Ipv4(ip, port) => {
            return Some(Address::Tcp(SocketAddr::from((*ip, *port))));
        }
        Source::Ipv6(ip, port) => {
            return Some(Address::Tcp(SocketAddr::from((*ip, *port))));
        }
        Source::Local(name) => name.as_bytes(),
    };
    Some(Address::Unix(match name {
        [] => UnixName::Unnamed,
        [0, name @ ..] => UnixName::Abstract(name.to_vec()),
        path => UnixName::Path(OsStr::from_bytes(path).into()),
    }))
}

/// Logs why a connection has no right header.
#[cold]
pub(in crate::server) fn log_header(log: &mut CloseLog, reason: &str, now: Time) {
    use crate::protocol::connection::CloseReason;
    if let Some(more) = log.of(CloseReason::Proxy).admit(now) {
        log::warn!("proxy: the PROXY header: {reason}: the connection is closed{more}");
    }
}

/// The connections of each address, where each connection has a thread or a process: a page of one
/// number for each, which is the key of its address, or 0.
///
/// A page is written and all are counted under a lock, because of two connections that come at the
/// same time each would count the other. A process that is killed while it holds the lock leaves it
/// locked, so nothing waits for it without end.
#[derive(Debug)]
pub struct SharedCounts {
    /// The lock, and the pages.
    words: SharedWords,
    limit: u32,
}

impl SharedCounts {
    /// Counts for `pages` connections, at most `limit` of one address.
    ///
    /// # Errors
    ///
    /// The kernel has no memory.
    pub fn new(pages: usize, limit: u32) -> io::Result<SharedCounts> {
        let words = SharedWords::new(1 + pages)?;
        Ok(SharedCounts { words, limit })
    }

    fn enter(&self, page: u32, peer: SocketAddr) -> bool {
        let key = key(peer);
        let (lock, pages) = (&self.words[0], &self.words[1..]);
        for _ in 0..SHARED_COUNTS_TRIES {
            let free = lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                break;
            }
            std::thread::yield_now();
        }
        let is_it = |page: &&AtomicU64| page.load(Ordering::Relaxed) == key;
        let has_room = pages.iter().filter(is_it).count() < self.limit as usize;
        if has_room {
            pages[page as usize].store(key, Ordering::Relaxed);
        }
        lock.store(0, Ordering::Release);
        has_room
    }

    fn leave(&self, page: u32) {
        self.words[1 + page as usize].store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_range_has_the_addresses_that_agree_in_its_bits() {
        for (range, bits, inside, outside) in [
            ("10.0.0.0", Some(8), "10.255.0.1", "11.0.0.0"),
            ("10.0.0.1", None, "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1", Some(31), "10.0.0.0", "10.0.0.2"),
            ("2001:db8::", Some(32), "2001:db8:1::1", "2001:db9::"),
            ("::1", None, "::1", "::2"),
            ("10.0.0.0", Some(8), "::ffff:10.1.1.1", "::10.1.1.1"),
            ("::ffff:10.0.0.0", Some(104), "10.1.1.1", "11.0.0.0"),
            ("::ffff:10.0.0.1", None, "10.0.0.1", "10.0.0.2"),
        ] {
            let range = Range::new(ip(range), bits).expect("a range");
            assert!(range.contains(ip(inside)) && !range.contains(ip(outside)));
        }
        for (any, inside, outside) in [("0.0.0.0", "9.9.9.9", "::1"), ("::", "::1", "9.9.9.9")] {
            let range = Range::new(ip(any), Some(0)).expect("a range");
            assert!(range.contains(ip(inside)) && !range.contains(ip(outside)));
        }
        assert_eq!(Range::new(ip("1.2.3.4"), Some(33)), None);
        assert_eq!(Range::new(ip("::"), Some(129)), None);
    }

    #[test]
    fn an_excluded_peer_sends_data_or_nothing_that_is_right() {
        let from = Range::new(ip("10.0.0.0"), Some(8)).expect("a range");
        let [inside, outside] =
            ["10.1.2.3:1", "1.2.3.4:1"].map(|peer| Address::Tcp(peer.parse().expect("an address")));
        let local = Address::Unix(UnixName::Unnamed);
        for (is_required, ranges, expected) in [
            (false, false, [Some(Expects::Maybe); 4]),
            (true, false, [Some(Expects::Header); 4]),
            (false, true, [Some(Expects::Maybe), None, None, None]),
            (
                true,
                true,
                [
                    Expects::Header,
                    Expects::Never,
                    Expects::Never,
                    Expects::Never,
                ]
                .map(Some),
            ),
        ] {
            let rule = ProxyRule {
                is_required,
                from: if ranges { [from].into() } else { [].into() },
                counts: None,
            };
            let announced = Announced::new(Some(&rule), None, 1).expect("a rule");
            let peers = [Some(&inside), Some(&outside), Some(&local), None];
            let expects = peers.map(|peer| announced.expects(peer));
            assert_eq!(expects, expected, "{is_required} {ranges}");
        }
    }

    #[test]
    fn shared_counts_hold_the_limit_of_each_address() -> io::Result<()> {
        let counts = SharedCounts::new(4, 2)?;
        let [one, two] = ["10.0.0.1:1", "10.0.0.2:1"].map(|it| it.parse().expect("an address"));
        assert!(counts.enter(0, one) && counts.enter(1, one) && !counts.enter(2, one));
        assert!(counts.enter(2, two));
        counts.leave(0);
        assert!(counts.enter(3, one) && !counts.enter(0, one));
        Ok(())
    }

    #[test]
    fn a_lock_that_is_never_released_is_not_waited_for_without_end() -> io::Result<()> {
        let counts = SharedCounts::new(1, 1)?;
        counts.words[0].store(1, Ordering::Relaxed);
        assert!(counts.enter(0, "10.0.0.1:1".parse().expect("an address")));
        Ok(())
    }
}
