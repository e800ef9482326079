# An echo of requests of 64 bytes with known faults: PORT, MODE and N.
#   delay N   answers each request after N milliseconds
#   reset N   resets each connection after its N-th reply
#   lie N     changes a byte in the N-th reply of each connection
import socket
import struct
import sys
import threading
import time

PORT, MODE, N = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SIZE = 64


def serve(peer):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(1, 1 << 30):
        request = peer.recv(SIZE, socket.MSG_WAITALL)
        if len(request) < SIZE:
            return peer.close()
        if MODE == "delay":
            time.sleep(N / 1000)
        if MODE == "lie" and number == N:
            request = request[:9] + bytes([request[9] ^ 4]) + request[10:]
        peer.sendall(request)
        if MODE == "reset" and number == N:
            # Lets the replies arrive before the reset.
            peer.recv(SIZE, socket.MSG_WAITALL)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return peer.close()


def guarded(peer):
    try:
        serve(peer)
    except OSError:
        peer.close()


listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
while True:
    threading.Thread(target=guarded, args=(listener.accept()[0],), daemon=True).start()
