//! Finds the process that listens at an address: `--server-pid auto`.
//!
//! The kernel lists its sockets in `/proc/net`, each with its inode; a process holds the socket if
//! one of its descriptors is a link to `socket:[INODE]`. Several processes may share a listener.
//! Then the one whose parent does not hold it, or else the one with the lowest number, stands for
//! all: the cost of a server includes its children. The process is found only by a user with the
//! right to look into it. Man pages: proc_net(5), proc_pid_fd(5).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use crate::kernel::{Address, UnixName, host};

/// The state of a listening TCP socket (`TCP_LISTEN`).
const LISTEN: &str = "0A";
/// The flags of a listening local socket (`__SO_ACCEPTCON`).
const LISTENING_FLAG: &str = "00010000";

/// The process that listens at `address`. The error says why there is none.
pub(super) fn process_at(address: &Address) -> Result<u32, String> {
    let inodes = match address {
        Address::Tcp(at) => inet("tcp", at, Some(LISTEN)),
        Address::Udp(at) => inet("udp", at, None),
        Address::Unix(name) => unix(name, Some(LISTENING_FLAG)),
        Address::Unixgram(name) => unix(name, None),
    };
    if inodes.is_empty() {
        return Err(format!(
            "{address}: no socket of this machine listens there"
        ));
    }
    let holders: Vec<u32> = processes().filter(|pid| holds(*pid, &inodes)).collect();
    let heirs = holders.iter().filter(|pid| match parent(**pid) {
        Some(parent) => !holders.contains(&parent),
        None => true,
    });
    match heirs.min() {
        Some(pid) => Ok(*pid),
        None => Err(format!(
            "{address}: the process that listens there is not shown by /proc; name it"
        )),
    }
}

/// The inodes of the sockets of `protocol` that are bound to `at`, or to any address with its port.
fn inet(protocol: &str, at: &SocketAddr, state: Option<&str>) -> Vec<u64> {
    let mut inodes = Vec::new();
    for table in [protocol.to_owned(), format!("{protocol}6")] {
        let text = fs::read_to_string(host::proc(format_args!("net/{table}"))).unwrap_or_default();
        inodes.extend(
            text.lines()
                .skip(1)
                .filter_map(|line| inet_line(line, at, state)),
        );
    }
    inodes
}

/// The inode in a line of `/proc/net/tcp`, if its local address is `at`.
fn inet_line(line: &str, at: &SocketAddr, state: Option<&str>) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = ip_of(ip)?.to_canonical();
    let is_there = port == at.port() && (ip == at.ip().to_canonical() || ip.is_unspecified());
    let is_state = state.is_none_or(|state| fields.get(3) == Some(&state));
    fields.get(9)?.parse().ok().filter(|_| is_there && is_state)
}

/// The address in `/proc/net`: words of 32 bits in the byte order of the machine.
fn ip_of(text: &str) -> Option<IpAddr> {
    let words = text.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<[u8; 4]>>>()?.concat();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The inodes of the local sockets with this name, and with these flags if there are any. The name
/// ends the line and may have blanks.
fn unix(name: &UnixName, flags: Option<&str>) -> Vec<u64> {
    let wanted = match name {
        UnixName::Unnamed => return Vec::new(),
        UnixName::Path(path) => path.as_os_str().as_bytes().to_vec(),
        UnixName::Abstract(name) => [b"@", &name[..]].concat(),
    };
    let table = fs::read(host::proc("net/unix")).unwrap_or_default();
    let lines = table.split(|&byte| byte == b'\n').skip(1);
    let inode = |line: &[u8]| {
        let front = line.strip_suffix(&wanted[..])?.strip_suffix(b" ")?;
        let front = String::from_utf8_lossy(front);
        let fields: Vec<&str> = front.split_whitespace().collect();
        let is_listening = flags.is_none_or(|flags| fields.get(3) == Some(&flags));
        fields
            .get(6)?
            .parse()
            .ok()
            .filter(|_| is_listening && fields.len() == 7)
    };
    lines.filter_map(inode).collect()
}

/// All processes that `/proc` shows.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(host::proc("")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a descriptor of process `pid` is one of the sockets.
fn holds(pid: u32, inodes: &[u64]) -> bool {
    let entries = fs::read_dir(host::proc(format_args!("{pid}/fd")))
        .into_iter()
        .flatten();
    let mut links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.any(|link| {
        let inode = link.to_str().and_then(|link| {
            let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        });
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(host::proc(format_args!("{pid}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
    use std::process;

    use super::*;

    #[test]
    fn the_process_that_listens_is_found_by_its_socket() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let any = TcpListener::bind("[::]:0").expect("a free port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let name = format!("mynah-listening-{}", process::id());
        let place = UnixAddr::from_abstract_name(&name).expect("a short name");
        let _local = UnixListener::bind_addr(&place).expect("a name of its own");
        let port = any.local_addr().expect("it is bound").port();
        for address in [
            Address::Tcp(tcp.local_addr().expect("it is bound")),
            Address::Tcp(([127, 0, 0, 1], port).into()),
            Address::Udp(udp.local_addr().expect("it is bound")),
            format!("unix:@{name}").parse().expect("an address"),
        ] {
            assert_eq!(process_at(&address), Ok(process::id()), "{address}");
        }
    }

    #[test]
    fn an_address_without_a_listener_is_named() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = Address::Tcp(free.local_addr().expect("it is bound"));
        drop(free);
        let error = process_at(&address).expect_err("the listener is closed");
        assert!(
            error.contains(&address.to_string()) && error.contains("listens"),
            "{error}"
        );
    }
}
