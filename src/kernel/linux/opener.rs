//! Opens listeners and outgoing connections on Linux: options first, then bind(2), then listen(2).
//!
//! The order matters. Buffer sizes determine the window that the handshake offers, so they are set
//! before listen(2) and connect(2). `SO_REUSEADDR` must be set before bind(2). `SO_REUSEPORT` must
//! not be set before bind(2) if a port that another process uses is to be refused. Options of
//! accepted sockets are set on the listener: accepted sockets inherit them on Linux, at no cost per
//! connection. Options of TCP are skipped for local sockets. Neighbour: `local_path`. Man pages:
//! socket(7), tcp(7), unix(7).

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::local_path::{self, BoundPath};
use super::{Linux, Socket};
use crate::kernel::datagrams;
use crate::kernel::journal::Recordable;
use crate::kernel::{
    Address, ConnectOptions, ListenOptions, OpenError, OpenStep, Opener, Sharing, lacks_interface,
};
use crate::sys::fd::file;
use crate::sys::net::address::RawAddress;
use crate::sys::net::socket::{self, Kind, Setting};

/// The kernel's limit for the idle time and the interval of keep-alive, in seconds.
const KEEP_ALIVE_SECONDS_MAX: i32 = 32_767;

/// What a reserve descriptor is open to: it costs the kernel least.
const NULL_DEVICE: &str = "/dev/null";

/// Unanswered probes after which a peer counts as dead.
const KEEP_ALIVE_PROBES: i32 = 3;

impl Opener for Linux {
    fn listen(&mut self, address: &Address, options: &ListenOptions) -> Result<Socket, OpenError> {
        let raw = address.to_raw().map_err(refused(OpenStep::Socket))?;
        has_interface(address).map_err(refused(OpenStep::Bind))?;
        let listener = socket::open(&raw, kind(address)).map_err(refused(OpenStep::Socket))?;
        prepare(listener.as_fd(), address, options).map_err(refused(OpenStep::Socket))?;
        let lock = local_path::lock(address);
        let bound = local_path::bind(listener.as_fd(), address, &raw);
        let bound = bound.map_err(refused(OpenStep::Bind))?;
        let given = match (&bound, options.unix_mode) {
            (Some(path), Some(mode)) => path.set_mode(mode).map_err(refused(OpenStep::Bind)),
            _ => Ok(()),
        };
        let listening = given.and_then(|()| start_to_listen(listener.as_fd(), address, options));
        drop(lock);
        if let Some(path) = bound {
            match listening {
                Ok(()) => self.bound.push((listener.as_raw_fd(), path)),
                Err(_) => path.remove(),
            }
        }
        listening.map(|()| listener.into())
    }

    fn share(&mut self, listener: &Socket) -> io::Result<Socket> {
        // The copy is close-on-exec too, and non-blocking, which is a property of the open file.
        listener.0.try_clone().map(Socket)
    }

    fn close_listener(&mut self, listener: Socket) {
        let number = listener.as_fd().as_raw_fd();
        if let Some(place) = self.bound.iter().position(|(owner, _)| *owner == number) {
            self.bound.swap_remove(place).1.remove();
        }
        drop(listener);
    }

    fn own_path(&mut self, listener: &Socket) {
        let address = self.local(listener).ok();
        let bound = address.and_then(|address| BoundPath::found(address.path()?));
        self.leave_path(listener);
        self.bound
            .extend(bound.map(|path| (listener.as_fd().as_raw_fd(), path)));
    }

    fn leave_path(&mut self, listener: &Socket) {
        let number = listener.as_fd().as_raw_fd();
        self.bound.retain(|(owner, _)| *owner != number);
    }

    fn local(&mut self, socket: &Socket) -> io::Result<Address> {
        self.own_address(socket)
    }

    fn queue_length(&mut self, listener: &Socket) -> io::Result<usize> {
        socket::queue_length(listener.as_fd())
    }

    fn stop_handshakes(&mut self, listener: &Socket) -> io::Result<()> {
        socket::ignore_handshakes(listener.as_fd())
    }

    fn stop_queueing(&mut self, listener: &Socket) -> io::Result<()> {
        socket::shutdown_read(listener.as_fd())
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> Result<Socket, OpenError> {
        let raw = to.to_raw().map_err(refused(OpenStep::Socket))?;
        has_interface(to).map_err(refused(OpenStep::Connect))?;
        let socket = socket::open(&raw, kind(to)).map_err(refused(OpenStep::Socket))?;
        if matches!(to, Address::Unixgram(_)) {
            // The server can answer only a socket with a name: the kernel chooses one, unix(7),
            // "Autobind feature".
            let named = RawAddress::local(b"").and_then(|raw| socket::bind(socket.as_fd(), &raw));
            named.map_err(refused(OpenStep::Bind))?;
        }
        if options.nodelay && matches!(to, Address::Tcp(_)) {
            let set = Setting::NO_DELAY.set(socket.as_fd(), 1);
            set.map_err(refused(OpenStep::Socket))?;
        }
        if let Some(source) = &options.source {
            // Without this option bind(2) reserves a port for all destinations at once, and no port
            // is left after 28,000 connections. Only kernels before 4.2 refuse it, and sockets
            // without ports.
            let _ = Setting::LATE_PORT.set(socket.as_fd(), 1);
            let bound = source
                .to_raw()
                .and_then(|raw| socket::bind(socket.as_fd(), &raw));
            bound.map_err(refused(OpenStep::Bind))?;
        }
        match socket::connect(socket.as_fd(), &raw) {
            Err(error) if !goes_on(&error) => Err(refused(OpenStep::Connect)(error)),
            _ => Ok(socket.into()),
        }
    }

    fn reserve(&mut self) -> io::Result<Socket> {
        match fs::File::open(NULL_DEVICE) {
            Ok(file) => Ok(OwnedFd::from(file).into()),
            // A folder or an image without devices. The number of any other error is kept: callers
            // and traces tell it.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                let why = format!(
                    "{NULL_DEVICE} cannot be opened: {error}; mount /dev, or make the device there \
                     with mknod(1)"
                );
                Err(io::Error::new(error.kind(), why))
            }
            Err(error) => Err(error),
        }
    }
}

/// Refuses a link-local address without an interface, because the kernel's own error does not name
/// the cause.
fn has_interface(address: &Address) -> io::Result<()> {
    let lacking = match address {
        Address::Tcp(at) | Address::Udp(at) => lacks_interface(at),
        Address::Unix(_) | Address::Unixgram(_) => None,
    };
    lacking.map_or(Ok(()), |line| {
        Err(io::Error::new(io::ErrorKind::InvalidInput, line))
    })
}

/// The steps after bind(2). The port is shared only after listen(2): two programs with
/// `SO_REUSEADDR` can both bind a port, and then listen(2) refuses the second, unless both share
/// it.
fn start_to_listen(
    fd: BorrowedFd<'_>,
    address: &Address,
    options: &ListenOptions,
) -> Result<(), OpenError> {
    if !address.is_datagrams() {
        socket::listen(fd, options.backlog).map_err(refused(OpenStep::Listen))?;
    }
    if options.sharing == Sharing::First && matches!(address, Address::Tcp(_) | Address::Udp(_)) {
        let shared = Setting::REUSE_PORT.set(fd, 1);
        shared.map_err(refused(OpenStep::Socket))?;
    }
    Ok(())
}

fn refused(step: OpenStep) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError { step, error }
}

/// Whether a connect continues in spite of this error: connect(2).
fn goes_on(error: &io::Error) -> bool {
    // The standard library has no stable kind for EINPROGRESS.
    let number = error.raw_os_error();
    number == Some(crate::kernel::errno::EINPROGRESS) || number == Some(crate::kernel::errno::EINTR)
}

fn prepare(fd: BorrowedFd<'_>, address: &Address, options: &ListenOptions) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        Setting::RECEIVE_BUFFER.set(fd, clamped(bytes.into()))?;
    }
    if let Some(bytes) = options.send_buffer {
        Setting::SEND_BUFFER.set(fd, clamped(bytes.into()))?;
    }
    if let (Some(_), Some(mode)) = (address.path(), options.unix_mode) {
        // bind(2) gives the file the mode of the socket, without the bits of the umask.
        file::set_mode(fd, mode)?;
    }
    let address = match address {
        Address::Tcp(address) => address,
        Address::Udp(address) => return prepare_udp(fd, address, options),
        Address::Unix(_) | Address::Unixgram(_) => return Ok(()),
    };
    Setting::REUSE_ADDRESS.set(fd, 1)?;
    // Otherwise the kernel removes an urgent byte from the stream, and it is lost.
    Setting::URGENT_INLINE.set(fd, 1)?;
    if address.is_ipv6() {
        // With it 0.0.0.0 and [::] can be bound side by side, whatever net.ipv6.bindv6only is.
        Setting::ONLY_V6.set(fd, 1)?;
    }
    if options.sharing == Sharing::Next {
        Setting::REUSE_PORT.set(fd, 1)?;
    }
    if options.nodelay {
        Setting::NO_DELAY.set(fd, 1)?;
    }
    if let Some(idle) = options.keepalive {
        let seconds = |span| seconds(span).clamp(1, KEEP_ALIVE_SECONDS_MAX);
        Setting::KEEP_IDLE.set(fd, seconds(idle))?;
        Setting::KEEP_INTERVAL.set(fd, seconds(idle / KEEP_ALIVE_PROBES as u32))?;
        Setting::KEEP_COUNT.set(fd, KEEP_ALIVE_PROBES)?;
        Setting::KEEP_ALIVE.set(fd, 1)?;
    }
    if let Some(span) = options.user_timeout {
        Setting::USER_TIMEOUT.set(fd, clamped(span.as_nanos().div_ceil(1_000_000)))?;
    }
    if let Some(span) = options.defer_accept {
        Setting::DEFER_ACCEPT.set(fd, seconds(span))?;
    }
    Ok(())
}

/// `SO_REUSEADDR` is left out: with it another program could take the port over, socket(7).
fn prepare_udp(
    fd: BorrowedFd<'_>,
    address: &SocketAddr,
    options: &ListenOptions,
) -> io::Result<()> {
    if address.is_ipv6() {
        Setting::ONLY_V6.set(fd, 1)?;
    }
    if options.sharing == Sharing::Next {
        Setting::REUSE_PORT.set(fd, 1)?;
    }
    datagrams::tell_asked_address(fd, address)
}

/// What a socket for `address` carries.
fn kind(address: &Address) -> Kind {
    match address.is_datagrams() {
        true => Kind::Datagrams,
        false => Kind::Stream,
    }
}

/// Whole seconds that are not less than `span`.
fn seconds(span: Duration) -> i32 {
    clamped(span.as_nanos().div_ceil(1_000_000_000))
}

fn clamped(number: u128) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::os::unix::fs::PermissionsExt;

    use super::super::local_path::tests::Scratch;
    use super::*;
    use crate::kernel::{Event, Interest, Poller, Readiness, Sockets, Time, Token};

    type Outcome = Result<(), Box<dyn Error>>;

    const PLAIN: ListenOptions = ListenOptions {
        backlog: 16,
        sharing: Sharing::Alone,
        nodelay: false,
        keepalive: None,
        user_timeout: None,
        receive_buffer: None,
        send_buffer: None,
        defer_accept: None,
        unix_mode: None,
    };

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    #[test]
    fn the_file_of_a_local_socket_has_the_mode_that_was_asked_for() -> Outcome {
        let mut linux = Linux::new(false)?;
        // The umask takes bits of the second and the third in every usual setting.
        for mode in [0o600, 0o666, 0o777, 0] {
            let path = Scratch::new("mode");
            let options = ListenOptions {
                unix_mode: Some(mode),
                ..PLAIN
            };
            let listener = linux.listen(&path.address(), &options)?;
            let found = fs::symlink_metadata(path.path())?.permissions().mode();
            assert_eq!(found & 0o7777, mode);
            linux.close_listener(listener);
            assert!(!path.path().exists());
        }
        Ok(())
    }

    /// Connects to `listener` and returns both ends.
    fn meet(linux: &mut Linux, listener: &Socket) -> Result<(Socket, Socket), Box<dyn Error>> {
        let to = linux.local(listener)?;
        let near = linux.connect(&to, &ConnectOptions::default())?;
        linux.register(&near, Token::new(0, 1), Interest::WRITE)?;
        let mut events = [Event::default(); 4];
        assert_eq!(linux.wait(&mut events, Time::NEVER)?, 1);
        assert!(events[0].readiness().intersects(Readiness::OUT));
        linux.take_error(&near)?;
        linux.deregister(&near)?;
        let far = linux.accept(listener)?;
        Ok((near, far))
    }

    fn refusal_of(refusal: Result<Socket, OpenError>) -> (OpenStep, io::ErrorKind) {
        let refusal = refusal.expect_err("it should have been refused");
        (refusal.step, refusal.error.kind())
    }

    #[test]
    fn every_kind_of_address_carries_bytes() -> Outcome {
        let mut linux = Linux::new(false)?;
        let path = Scratch::new("carries");
        let name = format!("unix:@mynah-{}-carries", std::process::id());
        // Only TCP has ports to share; the option is skipped for local sockets.
        let first = ListenOptions {
            sharing: Sharing::First,
            ..PLAIN
        };
        for at in [
            address("tcp://127.0.0.1:0"),
            address("[::1]:0"),
            path.address(),
            address(&name),
        ] {
            let listener = linux.listen(&at, &first)?;
            let (near, far) = meet(&mut linux, &listener)?;
            assert_eq!(linux.write(&near, b"hello")?, 5);
            if matches!(at, Address::Unix(_)) {
                assert_eq!(
                    linux.unacknowledged(&near)?,
                    0,
                    "{at}: unread is not unsent"
                );
            }
            let mut space = [0; 8];
            assert_eq!(linux.read(&far, &mut space)?, 5);
            assert!(linux.unacknowledged(&near)? <= 5);
            assert_eq!(linux.peer(&near)?, linux.local(&listener)?);
            assert_eq!(linux.peer(&far)?, linux.local(&near)?);
            linux.shutdown(&near)?;
            assert_eq!(linux.read(&far, &mut space)?, 0);
        }
        Ok(())
    }

    #[test]
    fn accepted_sockets_inherit_what_the_listener_was_given() -> Outcome {
        let mut linux = Linux::new(false)?;
        let options = ListenOptions {
            nodelay: true,
            keepalive: Some(Duration::from_secs(30)),
            user_timeout: Some(Duration::from_micros(1_500)),
            receive_buffer: Some(20_000),
            send_buffer: Some(30_000),
            ..PLAIN
        };
        let listener = linux.listen(&address("[::1]:0"), &options)?;
        let (_near, far) = meet(&mut linux, &listener)?;
        for (setting, value) in [
            (Setting::NO_DELAY, 1),
            (Setting::URGENT_INLINE, 1),
            (Setting::KEEP_ALIVE, 1),
            (Setting::KEEP_IDLE, 30),
            (Setting::KEEP_INTERVAL, 10),
            (Setting::KEEP_COUNT, 3),
            (Setting::USER_TIMEOUT, 2),
            (Setting::RECEIVE_BUFFER, 40_000),
            (Setting::SEND_BUFFER, 60_000),
            (Setting::ONLY_V6, 1),
        ] {
            assert_eq!(setting.get(far.as_fd())?, value);
        }
        assert_eq!(Setting::REUSE_ADDRESS.get(listener.as_fd())?, 1);
        assert_eq!(Setting::REUSE_PORT.get(listener.as_fd())?, 0);
        Ok(())
    }

    #[test]
    fn the_longest_spans_are_the_kernels_longest() -> Outcome {
        let mut linux = Linux::new(false)?;
        let options = ListenOptions {
            keepalive: Some(Duration::MAX),
            user_timeout: Some(Duration::MAX),
            defer_accept: Some(Duration::MAX),
            ..PLAIN
        };
        let listener = linux.listen(&address("0"), &options)?;
        assert_eq!(
            Setting::KEEP_IDLE.get(listener.as_fd())?,
            KEEP_ALIVE_SECONDS_MAX
        );
        assert_eq!(Setting::USER_TIMEOUT.get(listener.as_fd())?, i32::MAX);
        assert!(Setting::DEFER_ACCEPT.get(listener.as_fd())? > 0);
        Ok(())
    }

    #[test]
    fn connections_in_the_queue_of_a_listener_are_counted() -> Outcome {
        let mut linux = Linux::new(false)?;
        let listener = linux.listen(&address("0"), &PLAIN)?;
        let there = linux.local(&listener)?;
        assert_eq!(linux.queue_length(&listener)?, 0);
        let _first = linux.connect(&there, &ConnectOptions::default())?;
        let _second = linux.connect(&there, &ConnectOptions::default())?;
        assert_eq!(linux.queue_length(&listener)?, 2);
        let _taken = linux.accept(&listener)?;
        assert_eq!(linux.queue_length(&listener)?, 1);
        let name = format!("unix:@mynah-uncounted-{}", std::process::id());
        let local = linux.listen(&address(&name), &PLAIN)?;
        assert!(linux.queue_length(&local).is_err());
        Ok(())
    }

    #[test]
    fn a_listener_that_stops_queueing_refuses_new_connections_and_keeps_its_queue() -> Outcome {
        let mut linux = Linux::new(false)?;
        let there = address(&format!("unix:@mynah-turns-away-{}", std::process::id()));
        let listener = linux.listen(&there, &PLAIN)?;
        let waits = linux.connect(&there, &ConnectOptions::default())?;
        linux.stop_queueing(&listener)?;
        let late = linux.connect(&there, &ConnectOptions::default());
        let refused = late.map(drop).map_err(|refused| refused.error.kind());
        assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
        let taken = linux.accept(&listener)?;
        assert_eq!(linux.write(&taken, b"hello")?, 5);
        assert_eq!(linux.read(&waits, &mut [0; 8])?, 5);
        let accepted = linux.accept(&listener).map(drop);
        assert_eq!(
            accepted.map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        Ok(())
    }

    #[test]
    fn a_listener_that_stops_handshakes_keeps_its_queue_and_its_connections() -> Outcome {
        for there in ["127.0.0.1:0", "[::1]:0"] {
            let mut linux = Linux::new(false)?;
            let listener = linux.listen(&address(there), &PLAIN)?;
            let there = linux.local(&listener)?;
            let (before, accepted) = meet(&mut linux, &listener)?;
            let waits = linux.connect(&there, &ConnectOptions::default())?;
            assert_eq!(linux.queue_length(&listener)?, 1);
            linux.stop_handshakes(&listener)?;
            let late = linux.connect(&there, &ConnectOptions::default())?;
            assert_eq!(
                linux.queue_length(&listener)?,
                1,
                "the late one is not there"
            );
            let taken = linux.accept(&listener)?;
            for (near, far) in [(&before, &accepted), (&waits, &taken)] {
                assert_eq!(linux.write(near, b"hello")?, 5);
                assert_eq!(linux.read(far, &mut [0; 8])?, 5);
            }
            linux.register(&late, Token::new(0, 1), Interest::WRITE)?;
            let mut events = [Event::default(); 4];
            assert_eq!(linux.wait(&mut events, Time::default())?, 0);
            // It is refused when it tries again.
            linux.close_listener(listener);
            assert_eq!(linux.wait(&mut events, Time::NEVER)?, 1);
            let refused = linux.take_error(&late).map_err(|error| error.kind());
            assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
        }
        let name = format!("unix:@mynah-{}-handshakes", std::process::id());
        let mut linux = Linux::new(false)?;
        let local = linux.listen(&address(&name), &PLAIN)?;
        assert!(linux.stop_handshakes(&local).is_err());
        Ok(())
    }

    #[test]
    fn workers_share_a_port_only_when_asked() -> Outcome {
        let mut linux = Linux::new(false)?;
        let [alone, first, next] = [Sharing::Alone, Sharing::First, Sharing::Next]
            .map(|sharing| ListenOptions { sharing, ..PLAIN });
        let one = linux.listen(&address("0"), &first)?;
        let same = linux.local(&one)?;
        let _another = linux.listen(&same, &next)?;
        for others in [&alone, &first] {
            let refusal = refusal_of(linux.listen(&same, others));
            assert_eq!(refusal, (OpenStep::Bind, io::ErrorKind::AddrInUse));
        }
        Ok(())
    }

    fn two_pollers(
        listener: &Socket,
        linux: &mut Linux,
    ) -> Result<[(Linux, Socket); 2], io::Error> {
        let mut sharer = || Ok::<_, io::Error>((Linux::new(false)?, linux.share(listener)?));
        let mut both = [sharer()?, sharer()?];
        for (poller, shared) in &mut both {
            let interest = Interest::READ | Interest::EXCLUSIVE;
            poller.register(shared, Token::listener(0), interest)?;
        }
        Ok(both)
    }

    #[test]
    fn a_shared_listener_is_reported_to_every_poller_and_has_one_queue() -> Outcome {
        let mut linux = Linux::new(false)?;
        let listener = linux.listen(&address("0"), &PLAIN)?;
        let mut both = two_pollers(&listener, &mut linux)?;
        let there = linux.local(&listener)?;
        linux.close_listener(listener);
        let _near = linux.connect(&there, &ConnectOptions::default())?;
        // Neither of them sleeps, so both are told.
        for (poller, _) in &mut both {
            let mut events = [Event::default(); 4];
            assert_eq!(poller.wait(&mut events, Time::default())?, 1);
            assert_eq!(events[0].token(), Token::listener(0));
        }
        let [(first, shared), (second, other)] = &mut both;
        let _far = first.accept(shared)?;
        let nothing = second.accept(other).map(drop);
        assert_eq!(
            nothing.map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        Ok(())
    }

    #[test]
    fn a_shared_listener_that_is_deregistered_and_closed_is_reported_no_more() -> Outcome {
        let mut linux = Linux::new(false)?;
        let listener = linux.listen(&address("0"), &PLAIN)?;
        let [(mut first, shared), (mut second, _other)] = two_pollers(&listener, &mut linux)?;
        first.deregister(&shared)?;
        first.close_listener(shared);
        let there = linux.local(&listener)?;
        let _near = linux.connect(&there, &ConnectOptions::default())?;
        let mut events = [Event::default(); 4];
        assert_eq!(first.wait(&mut events, Time::default())?, 0);
        assert_eq!(second.wait(&mut events, Time::default())?, 1);
        Ok(())
    }

    #[test]
    fn the_interest_of_a_shared_listener_cannot_be_changed() -> Outcome {
        let mut linux = Linux::new(false)?;
        let listener = linux.listen(&address("0"), &PLAIN)?;
        let [(mut first, shared), _] = two_pollers(&listener, &mut linux)?;
        let changed = first.reregister(&shared, Token::listener(0), Interest::NONE);
        assert_eq!(
            changed.map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidInput)
        );
        Ok(())
    }

    #[test]
    fn a_refusal_names_its_step() -> Outcome {
        let mut linux = Linux::new(false)?;
        let elsewhere = address("192.0.2.1:0");
        let refusal = linux
            .listen(&elsewhere, &PLAIN)
            .expect_err("not an address of ours");
        assert_eq!(refusal.step, OpenStep::Bind);
        let reason = io::Error::from_raw_os_error(crate::kernel::errno::EADDRNOTAVAIL);
        assert!(refusal.to_string().starts_with(&format!("bind: {reason}")));
        let options = ConnectOptions {
            source: Some(elsewhere),
            nodelay: true,
        };
        assert_eq!(
            refusal_of(linux.connect(&address("7"), &options)).0,
            OpenStep::Bind
        );
        let unbound = address(&format!("unix:@mynah-{}-unbound", std::process::id()));
        let refused = refusal_of(linux.connect(&unbound, &ConnectOptions::default()));
        assert_eq!(
            refused,
            (OpenStep::Connect, io::ErrorKind::ConnectionRefused)
        );
        Ok(())
    }

    #[test]
    fn a_connection_comes_from_where_it_is_told() -> Outcome {
        let mut linux = Linux::new(false)?;
        let listener = linux.listen(&address("0"), &PLAIN)?;
        let to = linux.local(&listener)?;
        let options = ConnectOptions {
            nodelay: true,
            source: Some(address("127.0.0.9:0")),
        };
        let near = linux.connect(&to, &options)?;
        assert_eq!(Setting::NO_DELAY.get(near.as_fd())?, 1);
        let far = linux.accept(&listener)?;
        let peer = linux.peer(&far)?.to_string();
        assert!(peer.starts_with("tcp://127.0.0.9:"), "{peer}");
        Ok(())
    }

    #[test]
    fn the_reserve_is_a_descriptor() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let reserve = linux.reserve()?;
        linux.close(reserve);
        Ok(())
    }
}
