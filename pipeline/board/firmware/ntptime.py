"""ntptime: asks a time server and sets the board's clock."""
import socket
import struct
from time import gmtime

host = "pool.ntp.org"
timeout = 1


def time():
    query = bytearray(48)
    query[0] = 0x1B         # version 3, from a client
    where = socket.getaddrinfo(host, 123)[0][-1]
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        asked.settimeout(timeout)
        asked.sendto(query, where)
        answer = asked.recv(48)
    finally:
        asked.close()
    # The protocol counts from 1900; the port from 1970 or 2000.
    return struct.unpack("!I", answer[40:44])[0] - (2208988800 if gmtime(0)[0] == 1970 else 3155673600)


def settime():
    import machine
    now = gmtime(time())
    machine.RTC().datetime((now[0], now[1], now[2], now[6], now[3], now[4], now[5], 0))
