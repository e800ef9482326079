# Three peers, and then a firewall that silently drops every packet between the peers and their
# server, in both directions. Runs in a network namespace of its own (unshare -n). For each
# connection that the server closes, prints one line: the name and the time in seconds.
import os
import signal
import socket
import subprocess
import sys
import time

PORT = 7007
PATIENCE = 150


def ip(line):
    subprocess.run(["ip", *line.split()], check=True)


def talk():
    peer = socket.create_connection(("127.0.0.1", PORT))
    peer.sendall(b"hello")
    assert peer.recv(5) == b"hello"
    return peer


def established():
    words = ["ss", "-tnH", "state", "established", "sport", "=", f":{PORT}"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {int(line.split()[3].rsplit(":", 1)[1]) for line in lines.splitlines()}


ip("link set lo up")
server = subprocess.Popen(
    [sys.argv[1], "--listen", f"127.0.0.1:{PORT}", "--idle-timeout", "off"],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
)
assert server.stdout.readline().startswith(b"ready")

idle, owed, full = talk(), talk(), talk()
full.setblocking(False)
try:
    while True:
        full.send(bytes(1 << 16))
except BlockingIOError:
    pass

# No host has this MAC address, so frames to it are lost without an error.
ip("link add va type veth peer name vb")
ip("link set va up")
ip("link set vb up")
ip("neigh add 127.0.0.1 lladdr 02:00:00:00:00:99 dev va nud permanent")
ip("route add default dev va table 77")
ip(f"rule add pref 10 ipproto tcp sport {PORT} lookup 77")
ip("rule add pref 100 lookup local")
ip("rule del pref 0")
owed.sendall(b"a request that arrives and has an answer that does not")
time.sleep(0.1)
ip(f"rule add pref 11 ipproto tcp dport {PORT} lookup 77")

begin = time.monotonic()
left = {peer.getsockname()[1]: name for name, peer in
        (("idle", idle), ("owed", owed), ("full", full))}
while left and time.monotonic() - begin < PATIENCE:
    here = established()
    for port in [port for port in left if port not in here]:
        print(left.pop(port), round(time.monotonic() - begin, 1), flush=True)
    time.sleep(0.25)
server.send_signal(signal.SIGTERM)
print("exit", server.wait(timeout=30), flush=True)
