//! What `mynah serve` says when it is ready: the ready line, a hint, and warnings.
//!
//! The ready line is on stdout, for scripts; its form is a promise. Everything else goes to the
//! log. The workers do not serve yet, so the line may wait for its reader for a limited time.
//! Neighbours: `serve` calls this once all listeners are open.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::text::plural::plural;
use crate::cli::options::{Serve, ServiceName};
use crate::kernel::{Address, OUTPUT_LINES, StandardOutput, UnixName, find_program, host, ip_text};
use crate::limits;
use crate::protocol::framing::Opening;
use crate::server::plan::Plan;

/// Prints the ready line on stdout, for scripts, and logs a hint for people. The first
/// worker does not serve yet, so the line may wait for its reader for a limited time.
pub(super) fn print_ready_line(
    options: &Serve,
    connections_max: u32,
    addresses: &[Address],
    plan: &Plan,
) {
    let listed: Vec<String> = addresses.iter().map(Address::to_string).collect();
    let ready = format!(
        "ready: service {}, frame {}, on {}, {}, at most {}, \
         at most {} bytes of memory{}\n",
        options.service,
        options.framing,
        listed.join(" "),
        plural(options.workers(), "worker", "workers"),
        plural(connections_max, "connection", "connections"),
        plan.ceiling,
        (options.metrics.as_ref()).map_or(String::new(), |at| format!(", metrics on {at}")),
    );
    // A closed stdout takes every line and loses it, because the standard library has opened
    // /dev/null in its place.
    let written = StandardOutput::open()
        .and_then(|_| OUTPUT_LINES.write_within(ready.as_bytes(), limits::READY_LINE_TIMEOUT));
    match written {
        // A reader that went away has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            log::warn!("the ready line is lost: stdout: {error}");
        }
        _ => {}
    }
    if let Some(address) = addresses.first() {
        let hint = hint(address, options);
        log::info!("talk to it with: {hint}    (Ctrl-C here ends it)");
    }
}

/// Says what this kernel lacks of what the loop uses. A service that needs more does not start
/// without it; this lack costs only precision.
pub(super) fn tell_what_the_kernel_lacks() {
    if !host::waits_count_nanoseconds() {
        log::info!(
            "this kernel has no epoll_pwait2(2), which came with Linux 5.11: deadlines and rates \
             count whole milliseconds"
        );
    }
}

/// Warns if the control group may hold less than the ceiling: the kernel kills a process of a group
/// that needs more than its limit.
pub(super) fn warn_about_the_group(plan: &Plan) {
    let Some(limit) = host::group_memory_max() else {
        return;
    };
    if limit < plan.ceiling as u64 {
        // The kernel counts what its sockets hold to the same group.
        let half = (limit / 2) >> 20;
        log::warn!(
            "the control group may hold {limit} bytes (memory.max), and the ceiling is {}: the \
             kernel may kill this process; give the group more, or --max-memory {}m",
            plan.ceiling,
            half.max(1)
        );
    }
}

/// Warns about settings of `run` that may surprise the user.
pub(super) fn warn_about_allowed(options: &Serve) {
    if options.service != ServiceName::Run {
        return;
    }
    if options.allow.is_empty() {
        log::warn!(
            "nothing is allowed, so every request is refused; mynah run --allow 'ls -l' allows one"
        );
    }
    let missing = |line: &&String| find_program(line).is_none();
    for line in options.allow.iter().filter(missing) {
        log::warn!("--allow {line:?}: there is no such program now, so it cannot be started");
    }
    let opens_a_request = |line: &&String| Opening::default().scan(line.as_bytes()).is_some();
    for line in options.allow.iter().filter(opens_a_request) {
        log::warn!("--allow {line:?}: a connection that begins so is taken for HTTP and closed");
    }
}

/// A command that talks to the server at `address`.
fn hint(address: &Address, options: &Serve) -> String {
    let is_http = options.service == ServiceName::Http;
    let (is_plain, scheme) = match options.tls_cert {
        None => (true, "http"),
        Some(_) => (false, "https"),
    };
    #[cfg(feature = "auth")]
    if let (Address::Tcp(tcp), true) = (address, options.ftp.is_some()) {
        let tcp = reachable(*tcp);
        return format!("curl ftp://{}:{}/ -u NAME", ip_text(&tcp), tcp.port());
    }
    match address {
        Address::Tcp(tcp) if is_http => {
            let tcp = reachable(*tcp);
            match tcp {
                SocketAddr::V4(_) => format!("curl {scheme}://{tcp}/"),
                // In a URL the % before an interface name is written %25 (RFC 6874).
                SocketAddr::V6(_) => {
                    let ip = ip_text(&tcp).replace('%', "%25");
                    format!("curl '{scheme}://[{ip}]:{}/'", tcp.port())
                }
            }
        }
        Address::Unix(UnixName::Path(path)) if is_http => {
            format!(
                "curl --unix-socket {} {scheme}://localhost/",
                path.display()
            )
        }
        Address::Udp(udp) => {
            let udp = reachable(*udp);
            format!("nc -u {} {}", ip_text(&udp), udp.port())
        }
        Address::Unixgram(_) => format!("mynah bench {address} --duration 1s"),
        Address::Tcp(tcp) if is_plain && !options.framing.has_boundaries() => {
            let tcp = reachable(*tcp);
            format!("nc {} {}", ip_text(&tcp), tcp.port())
        }
        address => {
            let tls = if is_plain { "" } else { " --tls" };
            format!("mynah connect {address} --frame {}{tls}", options.framing)
        }
    }
}

/// The address under which a server that listens on `address` can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
