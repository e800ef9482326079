//! Python clients of a few lines: `struct` for every length prefix; netcat and socat for lines.

use super::super::is_installed;
use super::super::server::Server;
use super::echoes;

/// Sends each line of the input as a frame, all before the first reply is read. Prints the payloads
/// of the replies.
const STRUCT: &str = r#"
import socket, struct, sys
port, form = int(sys.argv[1]), sys.argv[2]
if form.startswith("3"):
    order = {"3>": "big", "3<": "little"}[form]
    pack, unpack, size = lambda n: n.to_bytes(3, order), lambda b: int.from_bytes(b, order), 3
else:
    codec = struct.Struct(form)
    pack, unpack, size = codec.pack, lambda b: codec.unpack(b)[0], codec.size
lines = sys.stdin.buffer.read().splitlines()
with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
    stream = peer.makefile("rwb")
    for line in lines:
        stream.write(pack(len(line)) + line)
    stream.flush()
    for line in lines:
        sys.stdout.buffer.write(stream.read(unpack(stream.read(size))) + b"\n")
"#;

const LINES: &[u8] = b"one\n\nthree\nand the fourth, which is longer than the others\n";

#[test]
fn pythons_struct_speaks_every_prefix() {
    if !is_installed("python3") || !is_installed("timeout") {
        return;
    }
    for (spec, form) in [
        ("u8", ">B"),
        ("u16be", ">H"),
        ("u16le", "<H"),
        ("u24be", "3>"),
        ("u24le", "3<"),
        ("u32be", ">I"),
        ("u32le", "<I"),
        ("u64be", ">Q"),
        ("u64le", "<Q"),
        ("i32be", ">i"),
        ("i32le", "<i"),
    ] {
        let server = Server::start(&["--frame", spec]);
        let port = server.address().port().to_string();
        echoes("python3", &["-c", STRUCT, &port, form], LINES.repeat(100));
        server.end();
    }
}

#[test]
fn netcat_and_socat_get_every_line_back() {
    if !["nc", "socat", "timeout"].into_iter().all(is_installed) {
        return;
    }
    let server = Server::start(&["--frame", "line"]);
    let port = server.address().port().to_string();
    let lines = b"one\r\n\ntwo \xc3\xa9\nthree\r\n".repeat(1000);
    echoes("nc", &["-N", "127.0.0.1", &port], lines.clone());
    let address = format!("TCP:127.0.0.1:{port}");
    echoes("socat", &["-t", "10", "-", &address], lines);
    server.end();
}
