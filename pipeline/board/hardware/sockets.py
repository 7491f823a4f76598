"""Sockets, whose other ends are devices: nothing here ever reaches a real network.

Logged: ("net", "listen", port) and ("net", "datagram", (address, text)) for one that no device takes; the devices log what they are asked.

A device stands behind a Peer, one for each connection. What a program sends arrives at once, what comes back takes a round trip. Where the
program must wait, its operation answers "~" at the next thing that happens to the board and is asked again: so interrupts come in
between, and waiting costs nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.board.board import Board, Refused
from pipeline.board.hardware.network import NUMERIC, ROUND_TRIP

HANDSHAKE = 800_000  # microseconds of TLS's, which is hard work for such a board
NO_ANSWER = 10_000_000  # until it gives up on an address where nobody is
PIECE = 1460  # bytes of a packet
MAX_SOCKETS = 32
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
PEEK = 1  # flag of recv
VISITOR = "192.168.1.20"  # from where the program's own server is asked
LATER = "~"


class Peer:
    """The other end of a connection of the program's. A device derives its protocol from it; `send` and `close` are its answers."""

    tls = False
    line: "Socket"
    board: Board

    def received(self, data: bytes) -> None:
        """The program sent something."""
        raise NotImplementedError

    def closed(self, lost: bool) -> None:
        """The program closed the connection, or it was `lost` with the Wi-Fi."""

    def send(self, data: bytes) -> None:
        def arrives():
            self.line.arrive(data)
            self.board.changed()

        self.board.after(ROUND_TRIP, arrives)

    def close(self) -> None:
        self.board.after(ROUND_TRIP, self.line.end)


@dataclass
class Socket:
    number: str
    datagrams: bool = False
    timeout: int | None = None  # microseconds; 0 does not wait
    waits_since: int | None = None  # when its last operation began, if that is not done yet
    peer: Peer | None = None
    opening: bool = False
    secure: bool = False
    incoming: bytearray = field(default_factory=bytearray)
    ended: bool = False  # the other end sends no more
    error: str = ""  # what broke it
    port: int = 0
    backlog: int = 0  # how many may wait for accept; 0 where it does not listen
    visitors: deque["Socket"] = field(default_factory=deque)
    packets: deque[tuple[str, int, bytes]] = field(default_factory=lambda: deque(maxlen=8))

    def arrive(self, data: bytes) -> None:
        if not self.error:
            self.incoming += data

    def open(self, error: str = "") -> None:
        self.opening, self.error = False, self.error or error

    def end(self) -> None:
        self.ended = True

    def readable(self) -> bool:
        return bool(self.incoming or self.ended or self.error or self.visitors or self.packets)


class Server(NamedTuple):
    """A port in the scripted world."""

    device: Any
    answer: Callable[[], Peer | None]
    tls: bool


class Peripheral:
    def __init__(self, board: Board):
        self.board = board
        self.servers: dict[tuple[str, int], Server] = {}
        self.responders: dict[tuple[str, int], Callable[[bytes], bytes | None]] = {}
        self.sockets: dict[str, Socket] = {}
        self.made = 0
        self.operations = {
            "wait": self._wait,
            "sock.new": self._new,
            "sock.bind": self._bind,
            "sock.listen": self._listen,
            "sock.poll": self._poll,
            "sock.timeout": self._timeout,
            "sock.close": self._close,
            "sock.sendto": self._sendto,
            "sock.connect": self._once(self._connect),
            "sock.tls": self._once(self._tls),
            "sock.accept": self._once(self._accept),
            "sock.send": self._once(self._send),
            "sock.recv": self._once(self._recv),
            "sock.line": self._once(self._line),
            "sock.recvfrom": self._once(self._recvfrom),
        }

    # --- for devices --------------------------------------------------------------------------------------------------

    def serve(self, host: str, port: int, device: Any, answer: Callable[[], Peer | None], tls: bool = False) -> None:
        """Each connection to the port of `device` gets a Peer that `answer` makes, or is refused where it makes none."""
        self.servers[self.board.network.address(host), port] = Server(device, answer, tls)

    def device(self, host: str, port: int) -> Any:
        """Whose the port is, None where it is nobody's yet."""
        server = self.servers.get((self.board.network.address(host), port))
        return server and server.device

    def respond(self, host: str, port: int, answer: Callable[[bytes], bytes | None]) -> None:
        """Datagrams to the port are answered, or lost where `answer` has none."""
        self.responders[self.board.network.address(host), port] = answer

    def visit(self, port: int, peer: Peer) -> bool:
        """Connects `peer` to the program's own server; False where it has none there, or none that could be reached."""
        server = next((each for each in self.sockets.values() if each.backlog and each.port == port), None)
        if (
            server is None
            or not self._reachable()
            or len(server.visitors) >= server.backlog
            or len(self.sockets) >= MAX_SOCKETS
        ):
            return False
        visitor = self._make()
        self._attach(visitor, peer)
        server.visitors.append(visitor)
        return True

    def break_all(self) -> None:
        """The Wi-Fi went, and every connection with it."""
        for socket in self.sockets.values():
            if socket.peer and not socket.error:
                socket.error = "ECONNRESET"
                socket.peer.closed(lost=True)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self, arguments: str) -> None:
        until = self.board.now + int(arguments) if arguments else None
        self.board.poll()  # what is due at this very moment happens now
        self._sleep(until)

    def _sleep(self, until: int | None) -> None:
        """Ends the operation with the next thing that happens to the board, at `until` at the latest."""
        board = self.board
        times = [until] if until is not None else []
        times += [entry[0] for entry in board._queue[:1]]
        board.sleep(max(0, min(times, default=board.end + 1) - board.now))

    def _once(self, find: Callable[[Socket, str], str | None]) -> Callable[[str], str]:
        """An operation on a socket, given by its number first, that is done once `find` does not return None."""

        def operation(arguments: str) -> str:
            number, _, rest = arguments.partition(",")
            socket = self._of(number)
            since = self.board.now if socket.waits_since is None else socket.waits_since
            socket.waits_since = None
            found = find(socket, rest)
            if found is not None:
                return found
            until = None if socket.timeout is None else since + socket.timeout
            if until is not None and self.board.now >= until:
                raise Refused("OSError", "ETIMEDOUT" if socket.timeout else "EAGAIN")
            socket.waits_since = since
            self._sleep(until)
            return LATER

        return operation

    def _reachable(self) -> bool:
        """Whether anybody could talk to the board, by the Wi-Fi that it joined or by its own."""
        return self.board.network.online() or self.board.network.own.active

    # --- connections --------------------------------------------------------------------------------------------------

    def _make(self, datagrams: bool = False) -> Socket:
        if len(self.sockets) >= MAX_SOCKETS:
            raise Refused("OSError", "ENOMEM")
        self.made += 1
        socket = self.sockets[str(self.made)] = Socket(str(self.made), datagrams)
        return socket

    def _attach(self, socket: Socket, peer: Peer) -> None:
        peer.line, peer.board, socket.peer = socket, self.board, peer

    def _of(self, number: str) -> Socket:
        """The socket of a call, which takes a little time."""
        self.board.poll()
        if number not in self.sockets:
            raise Refused("OSError", "EBADF")
        return self.sockets[number]

    def _new(self, kind: str) -> str:
        self.board.poll()
        return self._make(kind == "datagram").number

    def _connect(self, socket: Socket, address: str) -> str | None:
        host, port = address.split(",")
        if socket.error:
            raise Refused("OSError", socket.error)
        if socket.peer and not socket.opening:
            return ""
        if not socket.opening:
            if not NUMERIC.fullmatch(host):
                if self.board.spec.port != "esp32":
                    raise Refused("ValueError", "invalid arguments")
                host = self.board.network.resolve(host)
            if not self.board.network.online():
                raise Refused("OSError", "EHOSTUNREACH")
            socket.opening = True
            server = self.servers.get((host, int(port)))
            peer = server and server.answer()
            if peer:
                self._attach(socket, peer)
                peer.tls = server.tls
                self.board.after(ROUND_TRIP, socket.open)
            else:
                known = any(host == address for address, _ in self.servers)
                self.board.after(
                    ROUND_TRIP if known else NO_ANSWER, lambda: socket.open("ECONNREFUSED" if known else "ETIMEDOUT")
                )
            if socket.timeout == 0:
                raise Refused("OSError", "EINPROGRESS")
        return None

    def _tls(self, socket: Socket, _: str) -> str | None:
        peer = self._usable(socket)
        if not socket.secure and not socket.opening:
            socket.opening = socket.secure = True
            self.board.after(HANDSHAKE, lambda: socket.open("" if peer.tls else "ECONNRESET"))
        return None if socket.opening and socket.timeout != 0 else ""

    def _usable(self, socket: Socket) -> Peer:
        if socket.error:
            raise Refused("OSError", socket.error)
        if socket.peer is None:
            raise Refused("OSError", "ENOTCONN")
        return socket.peer

    def _send(self, socket: Socket, data: str) -> str | None:
        peer = self._usable(socket)
        if socket.opening:
            return None
        if socket.ended or peer.tls != socket.secure:
            socket.error = "ECONNRESET"
            raise Refused("OSError", "ECONNRESET")
        peer.received(bytes.fromhex(data))
        return ""

    def _take(self, socket: Socket, count: int, keep: bool = False) -> str | None:
        """Up to `count` bytes that have come; none at the end, None where there may come some yet."""
        if not socket.incoming:
            if not socket.ended:
                self._usable(socket)
            return "" if socket.ended else None
        data = bytes(socket.incoming[: min(count, PIECE)])
        if not keep:
            del socket.incoming[: len(data)]
        return data.hex()

    def _recv(self, socket: Socket, arguments: str) -> str | None:
        count, flags = arguments.split(",")
        if socket.datagrams:
            found = self._recvfrom(socket, count)
            return found and found.rpartition(",")[2]
        return self._take(socket, int(count), keep=bool(int(flags) & PEEK))

    def _line(self, socket: Socket, _: str) -> str | None:
        end = socket.incoming.find(b"\n") + 1
        if (
            not end
            and len(socket.incoming) < PIECE
            and socket.timeout != 0
            and not socket.ended
            and not socket.error
            and socket.peer
        ):
            return None
        return self._take(socket, end or PIECE)

    def _bind(self, arguments: str) -> None:
        number, port = arguments.split(",")
        socket = self._of(number)
        if any(each.backlog and each.port == int(port) for each in self.sockets.values()):
            raise Refused("OSError", "EADDRINUSE")
        socket.port = int(port)

    def _listen(self, arguments: str) -> None:
        number, backlog = arguments.split(",")
        socket = self._of(number)
        if not socket.port:
            raise Refused("OSError", "EINVAL")
        socket.backlog = max(1, int(backlog))
        self.board.note("net", "listen", socket.port)

    def _accept(self, socket: Socket, _: str) -> str | None:
        if not socket.backlog:
            raise Refused("OSError", "EINVAL")
        if not socket.visitors:
            return None
        visitor = socket.visitors.popleft()
        return f"{visitor.number},{VISITOR},{50_000 + int(visitor.number)}"

    def _poll(self, number: str) -> str:
        socket = self._of(number)
        flags = POLLIN * socket.readable() | POLLERR * bool(socket.error)
        if socket.peer or socket.datagrams or socket.error:
            flags |= POLLOUT * (not socket.opening)
        elif not socket.backlog:
            flags |= POLLHUP * (not socket.opening)
        return str(flags)

    def _timeout(self, arguments: str) -> None:
        number, _, timeout = arguments.partition(",")
        self._of(number).timeout = int(timeout) if timeout else None

    def _close(self, number: str) -> None:
        self.board.poll()
        socket = self.sockets.pop(number, None)
        if socket:
            for each in (socket, *socket.visitors):
                if each.peer and not each.error:
                    each.peer.closed(lost=each is not socket)

    def _sendto(self, arguments: str) -> None:
        number, host, port, data = arguments.split(",")
        socket, raw = self._of(number), bytes.fromhex(data)
        if not self._reachable():
            raise Refused("OSError", "EHOSTUNREACH")
        if (host, int(port)) in self.responders:
            answer = self.responders[host, int(port)](raw)
            if answer is not None:
                self.board.after(ROUND_TRIP, lambda: socket.packets.append((host, int(port), answer)))
        else:
            self.board.note("net", "datagram", (f"{host}:{port}", raw.decode("utf-8", "replace")))

    def _recvfrom(self, socket: Socket, count: str) -> str | None:
        if not socket.datagrams:
            data = self._take(socket, int(count))
            return data if data is None else f"0.0.0.0,0,{data}"
        if not socket.packets:
            return None
        host, port, data = socket.packets.popleft()
        return f"{host},{port},{data[: int(count)].hex()}"
