"""asyncio's streams: over sockets, and over whatever else can be polled, such as a UART."""
import asyncio
from asyncio import CancelledError, create_task, sleep_ms
from errno import EINPROGRESS as _EINPROGRESS


class Stream:
    def __init__(self, s, e={}):
        self.s, self.e, self.out_buf = s, e, b""

    def get_extra_info(self, v):
        return self.e[v]

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, trace):
        await self.wait_closed()

    def close(self):
        pass            # as on a real board: wait_closed closes

    async def wait_closed(self):
        self.s.close()

    async def read(self, n=-1):
        data = b""
        while True:
            yield asyncio._io_queue.queue_read(self.s)
            more = self.s.read(n)
            if more is not None:
                if n >= 0:
                    return more
                if not more:
                    return data
                data += more

    async def readinto(self, buf):
        yield asyncio._io_queue.queue_read(self.s)
        return self.s.readinto(buf)

    async def readexactly(self, n):
        data = b""
        while len(data) < n:
            yield asyncio._io_queue.queue_read(self.s)
            more = self.s.read(n - len(data))
            if more == b"":
                raise EOFError
            data += more or b""
        return data

    async def readline(self):
        line = b""
        while True:
            yield asyncio._io_queue.queue_read(self.s)
            more = self.s.readline()
            if more is not None:
                line += more
                if not more or line.endswith(b"\n"):
                    return line

    def write(self, buf):
        if not self.out_buf:
            buf = buf[self.s.write(buf) or 0:]
        if buf:
            self.out_buf += buf.encode() if isinstance(buf, str) else buf

    async def drain(self):
        if not self.out_buf:
            return await sleep_ms(0)
        data, self.out_buf = self.out_buf, b""
        while data:
            yield asyncio._io_queue.queue_write(self.s)
            data = data[self.s.write(data) or 0:]

    async def awrite(self, buf, off=0, sz=-1):      # this and the next two: as uasyncio had them
        self.write(buf[off:] if sz < 0 else buf[off:off + sz])
        await self.drain()

    aclose, awritestr = wait_closed, awrite


StreamReader = StreamWriter = Stream


async def open_connection(host, port, ssl=None, server_hostname=None):
    from socket import SOCK_STREAM, getaddrinfo, socket
    info = getaddrinfo(host, port, 0, SOCK_STREAM)[0]
    connection = socket(info[0])
    connection.setblocking(False)
    try:
        connection.connect(info[-1])
    except OSError as error:
        if error.errno != _EINPROGRESS:
            raise
    yield asyncio._io_queue.queue_write(connection)
    if ssl:
        connection = _secure(connection, ssl, server_hostname=server_hostname or host)
    stream = Stream(connection)
    return stream, stream


def _secure(connection, context, **how):
    if context is True:
        import ssl as tls
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    return context.wrap_socket(connection, **how)


class Server:
    _closed = False

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, trace):
        self.close()
        await self.wait_closed()

    def close(self):
        self._closed = True
        self.task.cancel()

    async def wait_closed(self):
        await self.task

    async def _serve(self, listening, served, ssl):
        try:
            while True:
                yield asyncio._io_queue.queue_read(listening)
                try:
                    connection, address = listening.accept()
                except OSError:
                    continue            # who knocked is gone
                connection.setblocking(False)
                if ssl:
                    connection = _secure(connection, ssl, server_side=True)
                stream = Stream(connection, {"peername": address})
                self.last = create_task(served(stream, stream))
        except CancelledError:
            if not self._closed:
                raise
        finally:
            listening.close()


async def start_server(cb, host, port, backlog=5, ssl=None):
    from socket import SO_REUSEADDR, SOL_SOCKET, getaddrinfo, socket
    info = getaddrinfo(host, port)[0]
    listening = socket(info[0])
    listening.setblocking(False)
    listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listening.bind(info[-1])
    listening.listen(backlog)
    server = Server()
    server.task = create_task(server._serve(listening, cb, ssl))
    await sleep_ms(0)           # so that it is there to be closed
    return server
