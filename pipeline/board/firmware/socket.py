"""socket: each call is an operation of the hardware. Where the program must wait, that answers "~" whenever something has happened, and is
asked again."""
from _hw import call
from io import IOBase

AF_INET = 2
AF_INET6 = 10
SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_RAW = 3
SOL_SOCKET = 1
SO_REUSEADDR = 4
SO_BROADCAST = 32
SO_BINDTODEVICE = 25
IPPROTO_IP = 0
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IP_ADD_MEMBERSHIP = 1024
IP_DROP_MEMBERSHIP = 1025
TCP_NODELAY = 1
MSG_PEEK = 1
MSG_DONTWAIT = 2
_PIECE = 1460           # bytes that one operation hands over: what fits into a packet


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    return [(AF_INET, type or SOCK_STREAM, 0, "", (call("net.resolve", host), int(port)))]


def _raw(data):
    return data.encode() if isinstance(data, str) else bytes(data)


class socket(IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, *, _id=None):
        self._id = _id or call("sock.new", "datagram" if type == SOCK_DGRAM else "stream")

    def _ask(self, operation, arguments=None):
        given = self._id if arguments is None else self._id + "," + arguments
        answer = call(operation, given)
        while answer == "~":
            answer = call(operation, given)
        return answer

    # --- making connections -----------------------------------------------------------------------------------------

    def connect(self, address):
        self._ask("sock.connect", "%s,%d" % tuple(address[:2]))

    def bind(self, address):
        self._ask("sock.bind", str(address[1]))

    def listen(self, backlog=2):
        self._ask("sock.listen", str(backlog))

    def accept(self):
        number, host, port = self._ask("sock.accept").split(",")
        return socket(_id=number), (host, int(port))

    def close(self):
        call("sock.close", self._id)

    def setsockopt(self, level, optname, value):
        pass

    def settimeout(self, value):
        self._ask("sock.timeout", "" if value is None else str(int(value * 1000000)))

    def setblocking(self, value):
        self.settimeout(None if value else 0)

    def makefile(self, mode="rb", buffering=0):
        return self

    def fileno(self):
        return int(self._id)

    def _events(self, wanted):
        """For select."""
        return int(call("sock.poll", self._id)) & (wanted | 24)     # errors and the end come unasked

    # --- data -------------------------------------------------------------------------------------------------------

    def send(self, data):
        data = _raw(data)
        for start in range(0, len(data), _PIECE):
            self._ask("sock.send", data[start:start + _PIECE].hex())
        return len(data)

    def sendall(self, data):
        self.send(data)

    def write(self, buf, *limits):
        if limits:
            buf = buf[:limits[0]] if len(limits) == 1 else buf[limits[0]:limits[0] + limits[1]]
        try:
            return self.send(buf)
        except OSError as error:
            if error.errno != 11:           # EAGAIN
                raise

    def sendto(self, data, address):
        data = _raw(data)
        self._ask("sock.sendto", "%s,%d,%s" % (address[0], address[1], data.hex()))
        return len(data)

    def recv(self, bufsize, flags=0):
        return bytes.fromhex(self._ask("sock.recv", "%d,%d" % (min(bufsize, _PIECE), flags)))

    def recvfrom(self, bufsize, flags=0):
        host, port, data = self._ask("sock.recvfrom", str(bufsize)).split(",")
        return bytes.fromhex(data), (host, int(port))

    def _read(self, enough, more):
        """What `more(data so far)` brings piece by piece, until `enough(data)` or the end; None where nothing is there and it must not wait."""
        data = b""
        while not enough(data):
            try:
                piece = more(data)
            except OSError as error:
                if error.errno != 11:       # EAGAIN
                    raise
                return data or None
            if not piece:
                break
            data += piece
        return data

    def read(self, size=-1):
        if size < 0:
            return self._read(lambda data: False, lambda data: self.recv(_PIECE))
        return self._read(lambda data: len(data) >= size, lambda data: self.recv(size - len(data)))

    def readinto(self, buf, nbytes=None):
        data = self.read(len(buf) if nbytes is None else min(nbytes, len(buf)))
        if data is None:
            return None
        buf[:len(data)] = data
        return len(data)

    def readline(self):
        return self._read(lambda data: data[-1:] == b"\n", lambda data: bytes.fromhex(self._ask("sock.line")))
