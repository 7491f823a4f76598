"""requests: an HTTP request over a socket, in one piece, and its response."""
import json as _json
import socket


class BodyStream:
    """What follows the headers; `remaining` bytes of it, None to the end of the connection."""

    def __init__(self, sock, remaining):
        self._sock, self._remaining = sock, remaining

    def read(self, n=-1):
        if self._remaining is not None:
            n = self._remaining if n < 0 else min(n, self._remaining)
        data = self._sock.read(n)
        if self._remaining is not None:
            self._remaining -= len(data)
        return data

    def readinto(self, buf):
        data = self.read(len(buf))
        buf[:len(data)] = data
        return len(data)

    def close(self):
        self._sock.close()


class Response:
    def __init__(self, f):
        self.raw, self.encoding, self._cached = f, "utf-8", None
        self.status_code, self.reason, self.headers = None, b"", {}

    def close(self):
        if self.raw:
            self.raw.close()
            self.raw = None
        self._cached = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    @property
    def content(self):
        if self._cached is None:
            try:
                self._cached = self.raw.read()
            finally:
                self.raw.close()
                self.raw = None
        return self._cached

    @property
    def text(self):
        return str(self.content, self.encoding)

    def json(self):
        return _json.loads(self.content)


def request(method, url, data=None, json=None, headers=None, stream=None, auth=None, timeout=None, parse_headers=True):
    scheme, _, host, *rest = url.split("/", 3)
    if scheme not in ("http:", "https:"):
        raise ValueError("Unsupported protocol: " + scheme)
    secure = scheme == "https:"
    name, _, port = host.partition(":")
    sent = {"Host": host, "Connection": "close"}
    if json is not None:
        data = _json.dumps(json)
        sent["Content-Type"] = "application/json"
    if auth:
        import binascii
        sent["Authorization"] = "Basic " + str(binascii.b2a_base64("%s:%s" % auth)[:-1], "ascii")
    body = b"" if data is None else data.encode() if isinstance(data, str) else data
    if data is not None:
        sent["Content-Length"] = str(len(body))
    sent.update(headers or {})
    head = "%s /%s HTTP/1.0\r\n" % (method, rest[0] if rest else "") + "".join("%s: %s\r\n" % pair for pair in sent.items()) + "\r\n"

    where = socket.getaddrinfo(name, int(port or (443 if secure else 80)), 0, socket.SOCK_STREAM)[0][-1]
    connection = socket.socket()
    if timeout is not None:
        connection.settimeout(timeout)
    try:
        connection.connect(where)
        if secure:
            import ssl
            connection = ssl.wrap_socket(connection, server_hostname=name)
        connection.write(head.encode() + body)
        response = Response(None)
        length = None
        status = connection.readline().split(None, 2)
        response.status_code, response.reason = int(status[1]), status[2].rstrip() if len(status) > 2 else b""
        while True:
            line = connection.readline()
            if not line or line == b"\r\n":
                break
            key, _, value = str(line, "utf-8").partition(":")
            if key.lower() == "content-length" and method != "HEAD":
                length = int(value)
            if parse_headers is True:
                response.headers[key] = value.strip()
            elif parse_headers:
                parse_headers(line, response.headers)
        response.raw = BodyStream(connection, length)
    except OSError:
        connection.close()
        raise
    if response.status_code in (301, 302, 303, 307, 308) and "Location" in response.headers:
        response.close()
        other = response.status_code == 303 or (response.status_code in (301, 302) and method not in ("GET", "HEAD"))
        return request("GET", response.headers["Location"]) if other else request(method, response.headers["Location"], body or None, None, headers)
    return response


def head(url, **kw):
    return request("HEAD", url, **kw)


def get(url, **kw):
    return request("GET", url, **kw)


def post(url, **kw):
    return request("POST", url, **kw)


def put(url, **kw):
    return request("PUT", url, **kw)


def patch(url, **kw):
    return request("PATCH", url, **kw)


def delete(url, **kw):
    return request("DELETE", url, **kw)
