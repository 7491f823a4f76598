"""umqtt.simple: MQTT 3.1.1 over a socket."""
import socket
from struct import pack, unpack


class MQTTException(Exception):
    pass


def _field(data):
    """Text or bytes with their length before them."""
    raw = data.encode() if isinstance(data, str) else bytes(data)
    return pack("!H", len(raw)) + raw


class MQTTClient:
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None, ssl_params={}):
        self.client_id, self.server, self.port = client_id, server, port or (8883 if ssl else 1883)
        self.user, self.pswd, self.keepalive, self.ssl, self.ssl_params = user, password, keepalive, ssl, ssl_params
        self.sock = self.cb = self.lw_topic = self.lw_msg = None
        self.pid = self.lw_qos = 0
        self.lw_retain = False

    def set_callback(self, f):
        self.cb = f

    def set_last_will(self, topic, msg, retain=False, qos=0):
        if not 0 <= qos <= 2 or not topic:
            raise AssertionError
        self.lw_topic, self.lw_msg, self.lw_qos, self.lw_retain = topic, msg, qos, retain

    def _packet(self, kind, body):
        size, length = len(body), b""
        while True:         # seven bits a byte, the lowest first
            length += bytes((size & 0x7F | (0x80 if size > 0x7F else 0),))
            size >>= 7
            if not size:
                break
        self.sock.write(bytes((kind,)) + length + body)

    def _receive(self):
        """(first byte, body) of the next packet; the first byte is None where there is none and it must not wait."""
        kind = self.sock.read(1)
        self.sock.setblocking(True)
        if kind is None:
            return None, None
        if not kind:
            raise OSError(-1)
        size = shift = 0
        while True:
            byte = self.sock.read(1)[0]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                return kind[0], self.sock.read(size)
            shift += 7

    def connect(self, clean_session=True, timeout=None):
        if self.sock:
            self.sock.close()
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.connect(socket.getaddrinfo(self.server, self.port)[0][-1])
        if self.ssl is True:
            import ssl
            self.sock = ssl.wrap_socket(self.sock, **self.ssl_params)
        elif self.ssl:
            self.sock = self.ssl.wrap_socket(self.sock, server_hostname=self.server)
        flags, body = 2 if clean_session else 0, _field(self.client_id)
        if self.lw_topic:
            flags |= 4 | self.lw_qos << 3 | self.lw_retain << 5
            body += _field(self.lw_topic) + _field(self.lw_msg)
        if self.user is not None:
            flags |= 0xC0
            body += _field(self.user) + _field(self.pswd)
        self._packet(0x10, _field("MQTT") + pack("!BBH", 4, flags, self.keepalive) + body)
        kind, answer = self._receive()
        if kind != 0x20:
            raise MQTTException(kind)
        if answer[1]:
            raise MQTTException(answer[1])
        return answer[0] & 1

    def disconnect(self):
        self._packet(0xE0, b"")
        self.sock.close()

    def ping(self):
        self._packet(0xC0, b"")

    def _number(self):
        self.pid += 1
        return pack("!H", self.pid)

    def publish(self, topic, msg, retain=False, qos=0):
        number = self._number() if qos else b""
        self._packet(0x30 | qos << 1 | (1 if retain else 0), _field(topic) + number + (msg.encode() if isinstance(msg, str) else bytes(msg)))
        if qos == 1:
            self._acknowledged(0x40, number)
        elif qos == 2:
            raise AssertionError

    def _acknowledged(self, wanted, number):
        while True:
            kind, body = self._handle()
            if kind == wanted and body[:2] == number:
                return body

    def subscribe(self, topic, qos=0):
        if self.cb is None:
            raise AssertionError("Subscribe callback is not set")
        number = self._number()
        self._packet(0x82, number + _field(topic) + bytes((qos,)))
        answer = self._acknowledged(0x90, number)
        if answer[2] == 0x80:
            raise MQTTException(answer[2])

    def unsubscribe(self, topic):
        number = self._number()
        self._packet(0xA2, number + _field(topic))
        self._acknowledged(0xB0, number)

    def _handle(self):
        """Takes the next packet, and hands it to the callback where it is a message."""
        kind, body = self._receive()
        if kind is not None and kind & 0xF0 == 0x30:
            start = 2 + unpack("!H", body[:2])[0]
            number = b""
            if kind & 6:
                number, start = body[start:start + 2], start + 2
            self.cb(body[2:2 + unpack("!H", body[:2])[0]], body[start:])
            if kind & 6 == 2:
                self._packet(0x40, number)
        return kind, body

    def wait_msg(self):
        kind, _ = self._handle()
        return None if kind == 0xD0 else kind

    def check_msg(self):
        if self.sock._events(1):       # readable
            return self.wait_msg()
