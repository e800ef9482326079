"""Two hosts, and between them a wire that loses, doubles, delays and forges frames.

    client [c0] ---- [c1] the wire [s1] ---- [s0] server

Each host is a network namespace with one end of a veth pair. The other ends have no address, and
one process carries frames from one to the other, and does to IPv4 what it is told. No queueing
discipline of the kernel is needed, so it runs where netem is not built. The caller is already in
a namespace of its own (unshare -n), in which the wire lives.

Man pages: network_namespaces(7), veth(4), packet(7), tcp(7).
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import time

CLIENT, SERVER, PORT = "10.0.0.1", "10.0.0.2", 7007
# A host is a process that sleeps so long: nothing is left behind if the caller is killed.
LIFE_S = 300
ETH_P_ALL, ETH_P_IP = 3, 0x0800
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
CLONE_NEWNET = 0x40000000
FIN, SYN, RST, ACK = 1, 2, 4, 16

libc = ctypes.CDLL(None, use_errno=True)


def set_namespace(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """A network namespace. `with host:` opens sockets in it."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", str(LIFE_S)])
        self.name = f"/proc/{self.process.pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(self.name) == own:
            time.sleep(0.002)
        self.fd = os.open(self.name, os.O_RDONLY)

    def words(self, *words):
        """A command line that runs in this namespace."""
        return ["nsenter", f"--net={self.name}", *words]

    def ip(self, line):
        subprocess.run(self.words("ip", *line.split()), check=True)

    def set(self, name, value):
        """Sets a value of /proc/sys/net/ipv4."""
        line = f"echo {value} > /proc/sys/net/ipv4/{name}"
        subprocess.run(self.words("sh", "-c", line), check=True)

    def __enter__(self):
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        set_namespace(self.fd)

    def __exit__(self, *_):
        set_namespace(self.outside)
        os.close(self.outside)

    def end(self):
        os.close(self.fd)
        self.process.kill()
        self.process.wait()


def without_offload(device):
    """Lets the kernel fill in checksums and cut segments itself: no device does it later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO.
        for command in (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(any_socket, 0x8946, request + bytes(16))  # SIOCETHTOOL
            except OSError:
                pass  # A value that this kernel does not let be changed.


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source, target, ports, seq, flags, window=0):
    """An IPv4 packet with an empty TCP segment from `source` to `target`, four bytes each."""
    tcp = struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, 0, 5 << 4, flags, window, 0, 0)
    pseudo = source + target + struct.pack(">BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + target
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + tcp


class Wire:
    """The process that carries frames. `tell` changes what it does to them."""

    def __init__(self, seed):
        self.near, far = socket.socketpair()
        ends = []
        for device in ("c1", "s1"):
            end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            end.bind((device, 0))
            end.setblocking(False)
            ends.append(end)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.near.close()
                Carrier(ends, far, seed).run()
            finally:
                os._exit(0)
        for end in [*ends, far]:
            end.close()

    def tell(self, **settings):
        """Changes settings, and returns what the wire has counted so far."""
        self.near.sendall(json.dumps(settings).encode())
        return json.loads(self.near.recv(65536))

    def end(self):
        self.near.close()
        os.waitpid(self.pid, 0)


class Carrier:
    """What the wire's process does. Settings are shares from 0 to 1, and times in seconds."""

    def __init__(self, ends, control, seed):
        self.ends, self.control = ends, control
        self.random = random.Random(seed)
        self.settings = {"loss": 0, "twice": 0, "overtaken": 0, "late": 0.01}
        # Nothing passes; nothing passes from the server to the client.
        self.settings |= {"down": False, "mute": False}
        self.counts = dict.fromkeys(("carried", "lost", "twice", "overtaken", "forged"), 0)
        self.waiting, self.number = [], 0
        self.forge = None
        self.flood = None

    def run(self):
        while True:
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                _, _, end, frame = heapq.heappop(self.waiting)
                self.put(end, frame)
            self.send_flood(now)
            due = self.waiting[0][0] - now if self.waiting else 1
            due = min(due, 0.002) if self.flood else due
            ready, _, _ = select.select([*self.ends, self.control], [], [], max(due, 0))
            for one in ready:
                if one is self.control:
                    if not self.obey():
                        return
                    continue
                # Frames stay in order if each side gets only a few at a time.
                for _ in range(64):
                    try:
                        frame = one.recv(65536)
                    except BlockingIOError:
                        break
                    self.carry(self.ends.index(one), frame)

    def obey(self):
        message = self.control.recv(65536)
        if not message:
            return False
        settings = json.loads(message)
        self.forge = settings.pop("forge", self.forge)
        if "flood" in settings:
            rate, seconds = settings.pop("flood")
            now = time.monotonic()
            self.flood = (rate, now, now + seconds, 0)
        self.settings.update(settings)
        counts = {**self.counts, "flooding": self.flood is not None}
        self.control.sendall(json.dumps(counts).encode())
        return True

    def put(self, end, frame):
        try:
            end.send(frame)
            self.counts["carried"] += 1
        except OSError:
            self.counts["lost"] += 1

    def carry(self, side, frame):
        other = self.ends[1 - side]
        if frame[12:14] != ETH_P_IP.to_bytes(2, "big"):
            return self.put(other, frame)
        settings, chance = self.settings, self.random.random
        # Answers to the addresses of a flood, which are nobody's.
        is_astray = side == 1 and frame[30:32] != socket.inet_aton(CLIENT)[:2]
        is_cut = settings["down"] or side == 1 and settings["mute"]
        if is_cut or is_astray or chance() < settings["loss"]:
            self.counts["lost"] += 1
            return None
        if side == 0:
            self.macs = frame[:12]
            if self.forge and frame[23] == 6:
                self.forge_reset(frame)
        copies = 1
        if chance() < settings["twice"]:
            self.counts["twice"] += 1
            copies = 2
        for _ in range(copies):
            if chance() < settings["overtaken"]:
                self.counts["overtaken"] += 1
                self.number += 1
                due = time.monotonic() + settings["late"]
                heapq.heappush(self.waiting, (due, self.number, other, frame))
            else:
                self.put(other, frame)
        return None

    def forge_reset(self, frame):
        """Sends the server a reset that seems to come from the client, `forge` bytes behind the
        segment in `frame`, which follows it."""
        head = 14 + 4 * (frame[14] & 15)
        ports = struct.unpack(">HH", frame[head : head + 4])
        seq = int.from_bytes(frame[head + 4 : head + 8], "big")
        flags = frame[head + 13]
        length = int.from_bytes(frame[16:18], "big")
        data = 14 + length - head - 4 * (frame[head + 12] >> 4)
        if flags & (SYN | FIN | RST) or data == 0 or ports[1] != PORT:
            return
        offset, self.forge = self.forge["offset"], None
        packet = segment(frame[26:30], frame[30:34], ports, seq + offset, RST)
        self.ends[1].send(frame[:14] + packet)
        self.counts["forged"] += 1

    def send_flood(self, now):
        """Sends the server the requests to connect that are due, from addresses of nobody."""
        if not self.flood:
            return
        rate, begin, end, sent = self.flood
        due = int((min(now, end) - begin) * rate)
        target = socket.inet_aton(SERVER)
        for number in range(sent, min(due, sent + 500)):
            source = bytes([10, 1 + number % 200, self.random.randrange(256), number // 200 % 256])
            ports = (self.random.randrange(1024, 65536), PORT)
            packet = segment(source, target, ports, self.random.getrandbits(32), SYN, 65535)
            self.put(self.ends[1], self.macs + b"\x08\x00" + packet)
            self.counts["forged"] += 1
        sent = min(due, sent + 500)
        self.flood = None if now >= end and sent >= due else (rate, begin, end, sent)


class World:
    """A client, a server and the wire between them."""

    def __init__(self, seed, mtu=1500):
        self.client, self.server = Host(), Host()
        for host, name, address in ((self.client, "c", CLIENT), (self.server, "s", SERVER)):
            pid = str(host.process.pid)
            pair = f"link add {name}1 type veth peer name {name}0 netns {pid}"
            subprocess.run(["ip", *pair.split()], check=True)
            subprocess.run(["ip", "link", "set", f"{name}1", "up"], check=True)
            host.ip("link set lo up")
            host.ip(f"link set {name}0 mtu {mtu} up")
            host.ip(f"addr add {address}/24 dev {name}0")
            without_offload(f"{name}1")
            with host:
                without_offload(f"{name}0")
        # Where answers to a flood go: to the client, which is not their address.
        self.server.ip(f"route add default via {CLIENT}")
        self.wire = Wire(seed)

    def end(self):
        self.wire.end()
        self.client.end()
        self.server.end()
