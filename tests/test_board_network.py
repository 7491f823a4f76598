"""The simulated board's network: Wi-Fi, web clients and servers, MQTT and time, as people write them, against a scripted world."""

import contextlib
import random
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.board import boards
from pipeline.board.board import Board, Stop
from pipeline.board.devices.mqtt_broker import fits, packet, split_packet
from pipeline.board.inputs import parse
from pipeline.board.run import run
from pipeline.core.errors import UserError

HOME = {"access_point": {"ssid": "home", "password": "secret"}}
CONNECT = """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("home", "secret")
while not wlan.isconnected():
    time.sleep_ms(50)
"""


def play(program, *devices, seconds=10.0, board="pico_w", errors=()):
    result = run(program, board=board, inputs=parse(list(devices), board, "inputs"), seconds=seconds)
    assert (result.stopped, result.lacks, [str(error) for error in result.errors]) == (None, [], list(errors))
    return result


def net(result, what):
    return [event.value for event in result.log if event.what == "net" and event.where == what]


def changes(result, pin):
    return [event.value for event in result.log if event.what == "pin" and event.where == pin]


# --- Wi-Fi ------------------------------------------------------------------------------------------------------------

OFFICIAL = """
import network, time
ssid, password = "home", "secret"
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(ssid, password)
max_wait = 10
while max_wait > 0:
    if wlan.status() < 0 or wlan.status() >= 3:
        break
    max_wait -= 1
    print("waiting for connection...")
    time.sleep(1)
if wlan.status() != 3:
    raise RuntimeError("network connection failed")
print("connected")
status = wlan.ifconfig()
print("ip = " + status[0])
"""


def test_the_documented_way_to_connect_works():
    result = play(OFFICIAL, HOME)
    assert result.output == ["waiting for connection..."] * 2 + ["connected", "ip = 192.168.1.42"]
    assert [(event.time // 100_000, event.value) for event in result.log if event.where == "connected"] == [
        (16, "home")
    ]


@pytest.mark.parametrize(
    ("device", "status"),
    [
        ({"access_point": {"ssid": "home", "password": "other"}}, "STAT_WRONG_PASSWORD"),
        ({"access_point": {"ssid": "neighbour", "password": "secret"}}, "STAT_NO_AP_FOUND"),
        ({"access_point": {"ssid": "home", "password": "secret", "at": 8}}, "STAT_NO_AP_FOUND"),
        ({"access_point": {"ssid": "home", "password": ""}}, "STAT_GOT_IP"),
        (None, "STAT_NO_AP_FOUND"),
    ],
)
@pytest.mark.parametrize("board", ["pico_w", "esp32"])
def test_the_status_says_why_it_does_not_connect(device, status, board):
    result = play(
        f"""
import network, time
wlan = network.WLAN(network.WLAN.IF_STA)
print(wlan.status() == network.STAT_IDLE, wlan.isconnected())
wlan.active(True)
wlan.connect("home", "secret")
print(wlan.status() == network.STAT_CONNECTING)
time.sleep(2)
print(wlan.status() == network.{status}, wlan.isconnected())
""",
        *([device] if device else []),
        board=board,
    )
    assert result.output == ["True False", "True", f"True {status == 'STAT_GOT_IP'}"]


def test_a_board_without_wifi_in_reach_gives_up_after_its_own_timeout():
    program = OFFICIAL.replace("wlan.status() < 0 or ", "")
    assert (
        play(program, seconds=20, errors=["RuntimeError: network connection failed (line 15)"]).output
        == ["waiting for connection..."] * 10
    )


def test_connecting_before_the_interface_is_active_is_refused():
    play(
        "import network\nnetwork.WLAN(network.STA_IF).connect('home', 'secret')",
        HOME,
        errors=["OSError: [Errno 1] EPERM (line 2)"],
    )


def test_a_dropped_connection_is_noticed_and_made_again():
    program = (
        CONNECT
        + """
print("up", time.ticks_ms() // 1000)
while True:
    if not wlan.isconnected():
        print("lost", time.ticks_ms() // 1000)
        wlan.connect("home", "secret")
        while not wlan.isconnected():
            if wlan.status() < 0:
                wlan.connect("home", "secret")
            time.sleep_ms(100)
        print("up", time.ticks_ms() // 1000)
    time.sleep_ms(200)
"""
    )
    result = play(program, {"access_point": {"ssid": "home", "password": "secret", "drops": [5], "for": 3}}, seconds=15)
    assert result.output == ["up 1", "lost 5", "up 8"]
    assert (net(result, "connected"), net(result, "lost")) == (["home", "home"], ["home"])


def test_asking_again_and_again_to_connect_does_not_keep_it_from_connecting():
    result = play(
        """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
while not wlan.isconnected():
    wlan.connect("home", "secret")
    time.sleep(1)
print("up", time.ticks_ms() // 1000)
""",
        HOME,
    )
    assert result.output == ["up 2"]


def test_an_esp32_connects_again_by_itself():
    result = play(
        CONNECT + "while True:\n    time.sleep(1)",
        {"access_point": {"ssid": "home", "password": "secret", "drops": [5], "for": 3}},
        board="esp32",
        seconds=15,
    )
    assert net(result, "connected") == ["home", "home"]


def test_a_plain_pico_has_no_network():
    play("import network", board="pico", errors=["ImportError: no module named 'network' (line 1)"])


def test_what_the_interface_says_of_itself():
    result = play(
        """
import network, binascii
network.country("DE")
network.hostname("robot")
wlan = network.WLAN(network.STA_IF)
print(wlan.active(), wlan.ifconfig()[0])
wlan.active(True)
print(wlan.active(), network.country(), network.hostname(), wlan.config("hostname"))
print(binascii.hexlify(wlan.config("mac"), ":").decode(), wlan.config("channel"))
wlan.config(pm=0xa11140)
for ssid, bssid, channel, rssi, security, hidden in wlan.scan():
    print(ssid, len(bssid), channel, rssi < 0, security != 0)
wlan.connect("home", "secret")
while not wlan.isconnected():
    pass
print(wlan.config("ssid"), wlan.status("rssi"), wlan.ipconfig("addr4"), hex(wlan.config("pm")))
wlan.ifconfig(("192.168.1.99", "255.255.255.0", "192.168.1.1", "8.8.8.8"))
print(wlan.ifconfig())
wlan.disconnect()
print(wlan.isconnected())
""",
        HOME,
        {"access_point": {"ssid": "café, free", "password": ""}},
    )
    assert result.output == [
        "False 0.0.0.0",
        "True DE robot robot",
        "28:cd:c1:0a:1b:2c 6",
        "b'home' 6 6 True True",
        "b'caf\\xc3\\xa9, free' 6 6 True False",
        "home -52 ('192.168.1.42', '255.255.255.0') 0xa11140",
        "('192.168.1.99', '255.255.255.0', '192.168.1.1', '8.8.8.8')",
        "False",
    ]


@pytest.mark.parametrize(
    ("board", "settings"),
    [
        ("pico_w", "essid='robot', password='12345678'"),
        ("esp32", "ssid='robot', key='12345678', authmode=network.AUTH_WPA_WPA2_PSK, max_clients=4"),
    ],
)
def test_a_board_of_its_own_access_point_serves_whoever_joins_it(board, settings):
    result = play(
        f"""
import network, socket
ap = network.WLAN(network.AP_IF)
ap.config({settings})
ap.active(True)
while not ap.active():
    pass
print(ap.ifconfig()[0], ap.config("essid"))
s = socket.socket()
s.bind(("", 80))
s.listen(1)
while True:
    conn, addr = s.accept()
    conn.recv(1024)
    conn.send("HTTP/1.1 200 OK\\r\\n\\r\\nhello")
    conn.close()
""",
        {"http_client": {"asks": [[2, "GET", "/"]]}},
        board=board,
    )
    assert result.output == ["192.168.4.1 robot"]
    assert (net(result, "access point"), net(result, "answer")) == (["robot"], [("/", 200, "hello")])


# --- asking servers ---------------------------------------------------------------------------------------------------

WEATHER = {"http_server": {"url": "http://api.example.com/weather", "body": {"main": {"temp": 21.5}, "name": "Berlin"}}}
SECRET = {"http_server": {"url": "https://api.example.com/data?key=1", "body": "secret", "headers": {"X-Left": "9"}}}
TEAPOT = {"http_server": {"url": "http://api.example.com/tea", "status": 418, "body": "I'm a teapot"}}
MOVED = {
    "http_server": {
        "url": "http://api.example.com/old",
        "status": 301,
        "headers": {"Location": TEAPOT["http_server"]["url"]},
    }
}
LOGGER = {"http_server": {"url": "http://192.168.1.7:8080/log", "status": 201, "body": "x" * 5000}}
INTERNET = [HOME, WEATHER, SECRET, TEAPOT, MOVED, LOGGER]

REQUESTS = {
    "a field of JSON": (
        "r = requests.get('http://api.example.com/weather')\nprint(r.status_code, r.json()['main']['temp'])\nr.close()",
        ["200 21.5"],
    ),
    "text and content": (
        "r = requests.get('http://api.example.com/weather?q=Berlin')\nprint(r.text[:9], r.content[:3], r.headers['Content-Type'])",
        ['{"main":  b\'{"m\' application/json'],
    ),
    "https": (
        "r = requests.get('https://api.example.com/data?key=1')\nprint(r.text, r.headers['X-Left'])\nr.close()",
        ["secret 9"],
    ),
    "a status": (
        "with requests.get('http://api.example.com/tea') as r:\n    print(r.status_code, r.reason, r.text)",
        ["418 b'Status' I'm a teapot"],
    ),
    "an unknown path": ("print(requests.get('http://api.example.com/nothing').status_code)", ["404"]),
    "piece by piece": (
        "r = requests.get('http://192.168.1.7:8080/log', stream=True)\nbuffer = bytearray(3000)\n"
        "print(r.raw.readinto(buffer), len(r.raw.read(1000)), len(r.raw.read()), r.raw.read())\nr.close()",
        ["3000 1000 1000 b''"],
    ),
    "a redirect": ("print(requests.get('http://api.example.com/old').text)", ["I'm a teapot"]),
    "a long answer": ("print(len(requests.post('http://192.168.1.7:8080/log', data='1').content))", ["5000"]),
    "an unknown host": (
        "try:\n    requests.get('http://nowhere.example')\nexcept OSError as error:\n    print(error.args)",
        ["(-2,)"],
    ),
    "a closed port": (
        "try:\n    requests.get('http://192.168.1.7/')\nexcept OSError as error:\n    print(error.args)",
        ["(111,)"],
    ),
    "a timeout": (
        "try:\n    requests.get('http://192.168.1.8/', timeout=2)\nexcept OSError as error:\n"
        "    print(error.args, time.ticks_ms() // 1000)",
        ["(110,) 3"],
    ),
    "what is no URL": (
        "try:\n    requests.get('ftp://x/')\nexcept ValueError as error:\n    print(error)",
        ["Unsupported protocol: ftp:"],
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    program, said = REQUESTS[name]
    assert play(CONNECT + "import requests\n" + program, *INTERNET).output == said


def test_a_server_answers_otherwise_later_and_goes_away():
    url = "http://192.168.1.7/state"
    result = play(
        CONNECT
        + f"""
import requests
for n in range(3):
    try:
        response = requests.get("{url}")
        print(response.status_code, response.text)
        response.close()
    except OSError as error:
        print(error)
    time.sleep(2)
""",
        HOME,
        {"http_server": {"url": url, "body": "on"}},
        {"http_server": {"url": url, "status": 500, "at": 3, "until": 5}},
    )
    assert result.output == ["200 on", "500 ", "[Errno 111] ECONNREFUSED"]


@pytest.mark.parametrize(
    ("board", "errors"),
    [
        ("pico_w", ["[Errno 2] ENOENT", "[Errno 110] ETIMEDOUT", "[Errno 107] ENOTCONN"]),
        ("esp32", ["[Errno 2] ENOENT", "[Errno 116] ETIMEDOUT", "[Errno 128] ENOTCONN"]),
    ],
)
def test_errors_have_the_boards_own_numbers_and_their_names(board, errors):
    result = play(
        """
import errno, socket
s, t = socket.socket(), socket.socket()
s.bind(("", 80))
s.listen(1)
s.settimeout(0.5)
for wanted, ask in ((errno.ENOENT, lambda: open("nothing.txt")), (errno.ETIMEDOUT, s.accept), (errno.ENOTCONN, lambda: t.send(b"x"))):
    try:
        ask()
    except OSError as error:
        print(error)
        assert error.errno == wanted and errno.errorcode[wanted] in str(error)
""",
        board=board,
    )
    assert result.output == errors


def test_what_is_asked_stands_in_the_log():
    result = play(
        CONNECT
        + """
import requests
url = "http://192.168.1.7:8080/log"
requests.get(url + "?n=1").close()
requests.post(url, json={"temp": 21.5}, headers={"X-Key": "k"}).close()
requests.put(url, data="on").close()
requests.post(url, data=b"bytes", auth=("me", "pw")).close()
requests.delete(url).close()
""",
        *INTERNET,
    )
    url = "http://192.168.1.7:8080/log"
    assert net(result, "request") == [
        ("GET", url + "?n=1", ""),
        ("POST", url, '{"temp": 21.5}'),
        ("PUT", url, "on"),
        ("POST", url, "bytes"),
        ("DELETE", url, ""),
    ]


def test_nothing_can_be_asked_without_wifi():
    program = "import requests\nrequests.get('http://api.example.com/weather')"
    play(program, *INTERNET, errors=["OSError: -2 (line 2)"])
    play(program, *INTERNET, board="esp32", errors=["OSError: -202 (line 2)"])


SOCKET_GET = (
    CONNECT
    + """
import socket
address = socket.getaddrinfo("api.example.com", 80)[0][-1]
s = socket.socket()
s.connect(address)
s.send(b"GET /tea HTTP/1.0\\r\\nHost: api.example.com\\r\\n\\r\\n")
"""
)
CLIENTS = {
    "recv to the end": "page = b''\nwhile True:\n    data = s.recv(7)\n    if data:\n        page += data\n    else:\n        break\ns.close()\n"
    "print(page[-12:])",
    "readline": "print(s.readline())\nwhile s.readline() != b'\\r\\n':\n    pass\nprint(s.read())\ns.close()",
    "makefile": "f = s.makefile('rwb', 0)\nprint(f.readline())\nf.close()",
    "read and readinto": "buffer = bytearray(9)\nprint(s.read(4), s.readinto(buffer), buffer, s.recv(3))\ns.close()",
    "not blocking": "s.setblocking(False)\ntries = 0\nwhile True:\n    try:\n        print(s.recv(8))\n        break\n    except OSError as error:\n"
    "        assert error.args[0] == 11\n        tries += 1\n        time.sleep_ms(1)\nprint(tries > 5)",
    "poll": "import select\npoller = select.poll()\npoller.register(s, select.POLLIN)\nprint(poller.poll(1))\n"
    "print([event for _, event in poller.poll(1000)])",
    "select": "import select\nprint(len(select.select([s], [], [], 1)[0]), select.select([], [s], [])[1] == [s])",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recv to the end", ['b"I\'m a teapot"']),
        ("readline", ["b'HTTP/1.1 418 Status\\r\\n'", 'b"I\'m a teapot"']),
        ("makefile", ["b'HTTP/1.1 418 Status\\r\\n'"]),
        ("read and readinto", ["b'HTTP' 9 bytearray(b'/1.1 418 ') b'Sta'"]),
        ("not blocking", ["b'HTTP/1.1'", "True"]),
        ("poll", ["[]", "[1]"]),
        ("select", ["1 True"]),
    ],
)
def test_plain_sockets_as_clients(name, said):
    result = play(SOCKET_GET + CLIENTS[name], *INTERNET)
    assert result.output == said
    assert net(result, "request") == [("GET", "http://api.example.com/tea", "")]


ERRORS = {
    "names are not addresses": ("s.connect(('api.example.com', 80))", "ValueError('invalid arguments',)"),
    "no connection": ("s.send(b'x')", "OSError(107,)"),
    "no connection to read": ("s.recv(1)", "OSError(107,)"),
    "closed": ("s.close(); s.recv(1)", "OSError(9,)"),
    "listens nowhere": ("s.listen(1)", "OSError(22,)"),
    "port taken": ("s.bind(('', 80)); s.listen(1); socket.socket().bind(('', 80))", "OSError(98,)"),
    "accept times out": ("s.bind(('', 80)); s.listen(1); s.settimeout(0.5); s.accept()", "OSError(110,)"),
    "accept does not wait": ("s.bind(('', 80)); s.listen(1); s.setblocking(False); s.accept()", "OSError(11,)"),
    "plain words to a TLS port": ("s.connect((host, 443)); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')", "OSError(104,)"),
    "TLS to a plain port": ("import ssl; s.connect((host, 80)); ssl.wrap_socket(s)", "OSError(104,)"),
    "too many": ("[socket.socket() for _ in range(100)]", "OSError(12,)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_sockets_refuse_what_real_ones_refuse(name):
    program, error = ERRORS[name]
    result = play(
        CONNECT
        + f"""
import socket
host = socket.getaddrinfo("api.example.com", 80)[0][-1][0]
s = socket.socket()
try:
    {program}
except Exception as error:
    print(repr(error))
""",
        *INTERNET,
    )
    assert result.output == [error]


def test_asyncio_streams_fetch_a_page_while_an_led_blinks():
    result = play(
        CONNECT
        + """
import asyncio
from machine import Pin
async def blink():
    led = Pin("LED", Pin.OUT)
    while True:
        led.toggle()
        await asyncio.sleep_ms(5)
async def main():
    blinking = asyncio.create_task(blink())
    reader, writer = await asyncio.open_connection("api.example.com", 80)
    writer.write(b"GET /tea HTTP/1.0\\r\\nHost: api.example.com\\r\\n\\r\\n")
    await writer.drain()
    print(await reader.readline())
    while await reader.readline() != b"\\r\\n":
        pass
    print(await reader.readexactly(3), await reader.read(2), await reader.read())
    writer.close()
    await writer.wait_closed()
    blinking.cancel()
    reader, writer = await asyncio.open_connection("api.example.com", 443, ssl=True)
    writer.write("GET /data?key=1 HTTP/1.0\\r\\n\\r\\n")
    await writer.drain()
    print((await reader.read(-1))[-6:])
asyncio.run(main())
""",
        *INTERNET,
    )
    assert result.output == ["b'HTTP/1.1 418 Status\\r\\n'", "b\"I'm\" b' a' b' teapot'", "b'secret'"]
    assert len(changes(result, "LED")) > 5


def test_datagrams_that_nobody_takes_are_logged():
    result = play(
        CONNECT
        + """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
print(s.sendto("hello", ("192.168.1.255", 5005)))
s.settimeout(1)
try:
    s.recvfrom(100)
except OSError as error:
    print(error.args)
""",
        HOME,
    )
    assert (result.output, net(result, "datagram")) == (["5", "(110,)"], [("192.168.1.255:5005", "hello")])


@pytest.mark.parametrize("host", ["", "ntptime.host = 'de.pool.ntp.org'"])
def test_the_time_of_a_time_server(host):
    result = play(
        CONNECT
        + f"""
import ntptime
{host}
print(time.gmtime(ntptime.time())[:6])
""",
        HOME,
        {"ntp_server": {"time": "2026-03-01 07:59:50"}},
    )
    assert result.output == ["(2026, 3, 1, 7, 59, 51)"]


def test_the_clock_can_be_set_by_a_time_server():
    result = play(
        CONNECT + "import ntptime\nntptime.settime()\nprint(time.localtime()[:6])",
        HOME,
        {"ntp_server": {"time": "2026-03-01 07:59:50"}},
    )
    assert result.output == ["(2026, 3, 1, 7, 59, 51)"]


def test_a_time_server_loses_its_first_queries():
    result = play(
        CONNECT
        + """
import ntptime
for n in range(3):
    try:
        ntptime.settime()
        print(time.localtime()[0])
    except OSError as error:
        print(error)
""",
        HOME,
        {"ntp_server": {"time": "2026-03-01 07:59:50", "loses": 2}},
    )
    assert result.output == ["[Errno 110] ETIMEDOUT", "[Errno 110] ETIMEDOUT", "2026"]


# --- the program as a server ------------------------------------------------------------------------------------------

PLAIN_SERVER = (
    CONNECT
    + """
import socket
from machine import Pin
led = Pin("LED", Pin.OUT)
html = "<!DOCTYPE html><html><body>LED is %s</body></html>"
addr = socket.getaddrinfo("0.0.0.0", 80)[0][-1]
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(addr)
s.listen(1)
print("listening on", addr)
while True:
    try:
        cl, addr = s.accept()
        request = str(cl.recv(1024))
        if request.find("/light/on") == 6:
            led.on()
        if request.find("/light/off") == 6:
            led.value(0)
        response = html % ("on" if led.value() else "off")
        cl.send("HTTP/1.0 200 OK\\r\\nContent-type: text/html\\r\\n\\r\\n")
        cl.send(response)
        cl.close()
    except OSError as e:
        cl.close()
        print("connection closed")
"""
)
FILE_SERVER = (
    CONNECT
    + """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(("", 80))
s.listen(5)
while True:
    conn, addr = s.accept()
    f = conn.makefile("rwb", 0)
    length = 0
    while True:
        line = f.readline()
        if line.startswith(b"Content-Length"):
            length = int(line.split(b":")[1])
        if not line or line == b"\\r\\n":
            break
    body = f.read(length)
    conn.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % (len(body) + 4))
    conn.write(b"got " + body)
    conn.close()
"""
)
POLLED_SERVER = (
    CONNECT
    + """
import select, socket
from machine import Pin
led, s = Pin(15, Pin.OUT), socket.socket()
s.bind(("0.0.0.0", 80))
s.listen(1)
s.setblocking(False)
poller = select.poll()
poller.register(s, select.POLLIN)
while True:
    led.toggle()
    for sock, event in poller.poll(500):
        conn, addr = sock.accept()
        conn.settimeout(1)
        path = conn.recv(512).split()[1].decode()
        conn.send("HTTP/1.0 200 OK\\r\\n\\r\\n" + path)
        conn.close()
"""
)
ASYNC_SERVER = (
    CONNECT
    + """
import asyncio
from machine import Pin
led, alive = Pin("LED", Pin.OUT), Pin(15, Pin.OUT)

async def serve_client(reader, writer):
    request_line = await reader.readline()
    while await reader.readline() != b"\\r\\n":
        pass
    request = str(request_line)
    if request.find("/light/on") == 6:
        led.on()
    elif request.find("/light/off") == 6:
        led.off()
    writer.write("HTTP/1.0 200 OK\\r\\nContent-type: text/html\\r\\n\\r\\n")
    writer.write("led is %d" % led.value())
    await writer.drain()
    await writer.wait_closed()

async def main():
    asyncio.create_task(asyncio.start_server(serve_client, "0.0.0.0", 80))
    while True:
        alive.toggle()
        await asyncio.sleep(0.5)

asyncio.run(main())
"""
)
SWITCH = {"http_client": {"asks": [[3, "GET", "/light/on"], [4, "GET", "/light/off"], [5, "GET", "/"]]}}


def test_a_plain_web_server_switches_an_led():
    result = play(PLAIN_SERVER, HOME, SWITCH)
    page = "<!DOCTYPE html><html><body>LED is {}</body></html>"
    assert result.output == ["listening on ('0.0.0.0', 80)"]
    assert net(result, "listen") == [80]
    assert net(result, "answer") == [
        ("/light/on", 200, page.format("on")),
        ("/light/off", 200, page.format("off")),
        ("/", 200, page.format("off")),
    ]
    assert changes(result, "LED") == [0, 1, 0]
    assert [round(event.time / 1e6, 2) for event in result.log if event.where == "answer"] == [3, 4, 5]


def test_an_asyncio_web_server_switches_an_led_beside_a_blinking_one():
    result = play(ASYNC_SERVER, HOME, SWITCH)
    assert net(result, "answer") == [
        ("/light/on", 200, "led is 1"),
        ("/light/off", 200, "led is 0"),
        ("/", 200, "led is 0"),
    ]
    assert changes(result, "LED") == [0, 1, 0]
    assert len(changes(result, 15)) == 18


def test_a_task_that_sleeps_long_does_not_keep_the_server_from_answering():
    result = play(ASYNC_SERVER.replace("asyncio.sleep(0.5)", "asyncio.sleep(60)"), HOME, SWITCH)
    assert [(event.time // 100_000, event.value[0]) for event in result.log if event.where == "answer"] == [
        (30, "/light/on"),
        (40, "/light/off"),
        (50, "/"),
    ]


def test_a_server_may_end_its_lines_with_newlines_alone():
    program = PLAIN_SERVER.replace(
        "HTTP/1.0 200 OK\\r\\nContent-type: text/html\\r\\n\\r\\n", "HTTP/1.1 200 OK\\nConnection: close\\n\\n"
    )
    assert "Connection" in program
    assert [status for _, status, _ in net(play(program, HOME, SWITCH), "answer")] == [200, 200, 200]


def test_a_server_reads_a_form_line_by_line():
    result = play(FILE_SERVER, HOME, {"http_client": {"asks": [[3, "POST", "/set", "speed=3"], [4, "GET", "/"]]}})
    assert net(result, "answer") == [("/set", 200, "got speed=3"), ("/", 200, "got ")]


def test_a_server_polls_between_its_other_work():
    result = play(
        POLLED_SERVER, HOME, {"http_client": {"asks": [[3, "GET", "/a"], [3, "GET", "/b"], [4.2, "GET", "/c"]]}}
    )
    assert [answer[2] for answer in net(result, "answer")][-2:] == ["/a", "/c"]
    assert len(changes(result, 15)) > 15


def test_an_asyncio_server_can_be_closed():
    result = play(
        CONNECT
        + """
import asyncio
async def served(reader, writer):
    print(writer.get_extra_info("peername")[0], await reader.readline())
    await writer.awrite(b"HTTP/1.0 200 OK\\r\\n\\r\\nhi")
    await writer.aclose()
async def main():
    server = await asyncio.start_server(served, "0.0.0.0", 8080)
    async with server:
        await asyncio.sleep(4)
    print("closed")
asyncio.run(main())
""",
        HOME,
        {"http_client": {"asks": [[3, "GET", "/x"], [7, "GET", "/y"]], "port": 8080}},
    )
    assert result.output == ["192.168.1.20 b'GET /x HTTP/1.1\\r\\n'", "closed"]
    assert net(result, "answer") == [("/x", 200, "hi"), ("/y", None, "")]


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("", None),  # nobody listens
        ("s.listen(1)", None),  # nobody answers
        ("s.listen(1)\nc, _ = s.accept()\nc.send('hello')\nc.close()", None),  # not in HTTP
        ("s.listen(1)\nc, _ = s.accept()\nc.send('HTTP/1.1 500 Oops\\r\\n\\r\\nhello')", 500),
    ],
)  # and leaves the connection open
def test_a_visitor_tells_a_bad_answer(program, answer):
    result = play(
        CONNECT + "import socket\ns = socket.socket()\ns.bind(('', 80))\n" + program,
        HOME,
        {"http_client": {"asks": [[3, "GET", "/"]]}},
    )
    assert [(path, status) for path, status, _ in net(result, "answer")] == [("/", answer)]


def test_a_button_s_interrupt_comes_while_the_server_waits():
    interrupt = 'Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda p: print("pressed", time.ticks_ms()), Pin.IRQ_FALLING)\n'
    program = PLAIN_SERVER.replace("html = ", interrupt + "html = ")
    result = play(program, HOME, SWITCH, {"button": {"pin": 14, "pressed": [3.5, 8]}})
    assert result.output[1:] == ["pressed 3500", "pressed 8000"]
    assert len(net(result, "answer")) == 3


# --- MQTT -------------------------------------------------------------------------------------------------------------

BROKER = {
    "mqtt_broker": {
        "host": "broker.local",
        "messages": [[4, "robot/led", "on"], [5, "robot/other", "x"], [6, "robot/led", "off"]],
    }
}


def test_mqtt_publishes_every_two_seconds():
    result = play(
        CONNECT
        + """
from umqtt.simple import MQTTClient
client = MQTTClient("robot", "broker.local", keepalive=60)
print(client.connect())
n = 0
while True:
    client.publish("robot/n", str(n))
    n += 1
    time.sleep(2)
""",
        HOME,
        BROKER,
    )
    assert result.output == ["0"]
    assert net(result, "publish") == [("robot/n", str(n)) for n in range(5)]
    times = [event.time // 1000 for event in result.log if event.where == "publish"]
    assert all(2000 <= b - a < 2005 for a, b in pairwise(times))


@pytest.mark.parametrize("wait", ["client.wait_msg()", "client.check_msg(); time.sleep_ms(20)", "client.check_msg()"])
def test_mqtt_messages_switch_an_led(wait):
    result = play(
        CONNECT
        + f"""
from umqtt.simple import MQTTClient
from machine import Pin
led = Pin("LED", Pin.OUT)
def received(topic, msg):
    print(topic, msg)
    led.value(msg == b"on")
client = MQTTClient(client_id=b"robot", server="broker.local", port=1883, user="me", password="pw", keepalive=30, ssl=False)
client.set_callback(received)
client.set_last_will("robot/state", "gone", retain=True)
client.connect()
client.subscribe(b"robot/led")
while True:
    {wait}
""",
        HOME,
        {"mqtt_broker": {**BROKER["mqtt_broker"], "user": "me", "password": "pw"}},
    )
    assert result.output == ["b'robot/led' b'on'", "b'robot/led' b'off'"]
    assert (net(result, "subscribe"), net(result, "message")) == (
        ["robot/led"],
        [("robot/led", "on"), ("robot/led", "off")],
    )
    assert changes(result, "LED") == [0, 1, 0]


def test_mqtt_acknowledges_pings_and_hands_back_what_was_subscribed_to():
    result = play(
        CONNECT
        + """
from umqtt.simple import MQTTClient
client = MQTTClient("robot", "broker.local")
client.set_callback(lambda topic, msg: print(topic, msg))
client.connect()
client.publish("state/kept", "k" * 200, retain=True, qos=1)
client.subscribe("state/#", qos=1)
client.subscribe("+/n")
client.publish("a/n", b"1")
client.wait_msg()
client.ping()
print(client.wait_msg())
client.unsubscribe("+/n")
client.publish("a/n", b"2")
time.sleep(1)
print(client.check_msg())
client.disconnect()
""",
        HOME,
        BROKER,
    )
    assert result.output == [f"b'state/kept' b'{'k' * 200}'", "b'a/n' b'1'", "None", "None"]
    assert net(result, "will") == []


def test_mqtt_refuses_a_wrong_password():
    play(
        CONNECT
        + "from umqtt.simple import MQTTClient\nMQTTClient('robot', 'broker.local', user='me', password='no').connect()",
        HOME,
        {"mqtt_broker": {"host": "broker.local", "user": "me", "password": "pw"}},
        errors=["MQTTException: 5 (line 9)"],
    )


def test_mqtt_loses_its_broker_with_the_wifi():
    result = play(
        CONNECT
        + """
from umqtt.simple import MQTTClient
client = MQTTClient("robot", "broker.local")
client.set_last_will("robot/state", "gone")
client.connect()
while True:
    try:
        client.publish("n", "1")
    except OSError as error:
        print(error.args)
        break
    time.sleep(1)
""",
        {"access_point": {"ssid": "home", "password": "secret", "drops": [5]}},
        BROKER,
    )
    assert (result.output, net(result, "will")) == (["(104,)"], [("robot/state", "gone")])


def test_robust_mqtt_connects_again():
    result = play(
        CONNECT
        + """
from umqtt.robust import MQTTClient
client = MQTTClient("robot", "broker.local")
client.DEBUG = True
client.connect()
n = 0
while True:
    client.publish("n", str(n))
    n += 1
    if not wlan.isconnected():
        wlan.connect("home", "secret")
    time.sleep(1)
""",
        {"access_point": {"ssid": "home", "password": "secret", "drops": [5], "for": 0.1}},
        BROKER,
        board="esp32",
        seconds=15,
    )
    assert result.output[:1] == ["mqtt: OSError(104,)"]
    assert [payload for _, payload in net(result, "publish")] == [str(n) for n in range(len(net(result, "publish")))]
    assert len(net(result, "publish")) > 8


def test_the_project_s_own_example_connects_and_publishes():
    program = (
        Path(__file__).parents[1] / "corpora/robo-examples/wifi_mqtt.py"
    ).read_text() + '\nmain("home", "secret", "192.168.1.10")\n'
    result = play(program, HOME, {"mqtt_broker": {"host": "192.168.1.10"}}, seconds=25)
    assert result.output == ["address 192.168.1.42"]
    published = net(result, "publish")
    assert [topic for topic, _ in published] == ["robot/temperature"] * 3
    assert all(-20 < float(payload) < 60 for _, payload in published)


@pytest.mark.parametrize(
    ("topic", "pattern", "taken"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/+", True),
        ("a/b/c", "a/+", False),
        ("a/b/c", "a/#", True),
        ("a", "a/#", True),
        ("b", "a/#", False),
        ("a/b", "#", True),
        ("a/b/c", "+/b/+", True),
        ("a", "+/b", False),
    ],
)
def test_subscriptions_take_topics_as_mqtt_says(topic, pattern, taken):
    assert fits(topic, pattern) is taken


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 100_000])
def test_packets_of_any_size_are_taken_apart_again(size):
    whole = packet(0x30, b"x" * size)
    assert split_packet(whole + b"rest") == (0x30, b"x" * size, b"rest")
    assert split_packet(whole[:-1]) is None or size == 0


# --- what only a hostile program does ---------------------------------------------------------------------------------

ODD = [
    "",
    ",",
    "1",
    "2",
    "1,",
    "1,,",
    "1,-5",
    "1,-5,0",
    "1,99999999999999999999",
    "1,1.1.1.1,x",
    "1,203.0.113.10,80",
    "1,203.0.113.10,443",
    "1,203.0.113.10,1883",
    "sta",
    "sta,,",
    "sta,ssid,\0",
    "zz,zz",
    "1,zz",
    "1,4745",
    "1,203.0.113.11,123,00",
    "datagram",
    "x" * 10_000,
    *(
        "1," + data.hex()
        for data in (b"GET / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", bytes([0x10, 2, 0, 9, 0x82, 0]), b"\xff" * 1460)
    ),
    "3," + b"HTTP/1.1 \xb2\xb2\xb2 x\r\nContent-Length: 99999999999\r\n\r\n".hex(),
]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_a_program_says_to_the_hardware_breaks_us(seed):
    board, chance = Board(boards.load("pico_w"), 3600), random.Random(seed)
    world = [
        HOME,
        WEATHER,
        SECRET,
        {"mqtt_broker": {"host": "api.example.com", "messages": [[n, "a", "b"] for n in range(20)]}},
        {"ntp_server": {"time": "2026-03-01"}},
        {"http_client": {"asks": [[n / 2, "GET", "/"] for n in range(40)]}},
    ]
    for device in parse(world, "pico_w", "inputs"):
        device.attach(board)
    for start in (
        ("net.active", "sta,1"),
        ("net.join", f"{b'home'.hex()},{b'secret'.hex()}"),
        ("sleep", "2000000"),
        ("sock.new", "stream"),
        ("sock.new", "stream"),
        ("sock.bind", "2,80"),
        ("sock.listen", "2,4"),
        ("sleep", "1000000"),
        ("sock.accept", "2"),
    ):
        assert not board.call(*start).startswith("!")
    ends = {
        "net.active",
        "net.join",
        "net.leave",
        "sock.close",
        "sock.accept",
        "sock.recvfrom",
    }  # after these little can happen any more
    asked = [name for name in board.operations if name.startswith(("net.", "sock.")) and (seed % 2 or name not in ends)]
    with contextlib.suppress(Stop):  # where it waits for what never comes
        for _ in range(300):
            board.call(chance.choice(asked), chance.choice(ODD))
        board.call("sleep", "3600000000")
    assert board.now == board.end


# --- scripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({"access_point": {"ssid": "home"}}, "password"),
        ({"access_point": {"ssid": "home", "password": "x", "drops": [3, 2]}}, "times must not go backwards"),
        ({"http_server": {"url": "api.example.com"}}, "url"),
        ({"http_client": {"asks": [[1, "GET"]]}}, "asks"),
        ({"http_client": {"asks": [[2, "GET", "/"], [1, "GET", "/"]]}}, "times must not go backwards"),
        ({"mqtt_broker": {"host": "x", "messages": [[1, "t", 3]]}}, "messages"),
        ({"ntp_server": {"time": "soon"}}, "time"),
    ],
)
def test_a_slip_in_a_script_is_told(device, told):
    with pytest.raises(UserError, match=told):
        parse([device], "pico_w", "inputs")
