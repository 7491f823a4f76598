"""Secrets: what is found, what stands in its place, and what looks like one and stays. A further saying is one more line of a table.

The keys below were made up: they have the form of real ones and open nothing. Those of services are put together here, so that no scanner of
this repository takes them for real.
"""

import ast

import pytest

from pipeline.data.secrets import KINDS, replaced

GITHUB, SLACK = (
    "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "https://hooks." + "slack.com/services/T024BE7LD/B024BE7LH/aXcaT4fNP0UcnZwJUVFk6LO0",
)
GOOGLE, OPENAI = (
    "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "sk-proj-" + "abcdefghijklmnopqrstT3Blbk" + "FJabcdefghijklmnopqrst",
)
ADAFRUIT, AMAZON = "aio_" + "QbCd12EfGh34IjKl56MnOp78QrSt", "AKIA" + "QYLPMN5HHHFPZAM2"
BODY = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgHcTz6sE2I2yPB\naFDrBz9vFqU4yVfKqYvE0p2fJ3lBvYVQzGv7o0L4H1u3LM3GQpZ9N9b2zWvx0TtF"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"
HEX = "b6907d289e10d714a6e88b30761fae22"

FOUND = {  # text -> (kind, text afterwards) of each
    "pw = 'There4You'": [("password", "pw = 'your-password'")],
    "password = 'hunter2Blah'": [("password", "password = 'your-password'")],
    'WIFI_PASS = "s3same!open"': [("password", 'WIFI_PASS = "your-password"')],
    'wifiPassword: str = "qwertz"': [("password", 'wifiPassword: str = "your-password"')],
    'config = {"psk": b"qwertz77"}': [("password", 'config = {"psk": b"your-password"}')],
    'config["password"] = "it\'s me"[0:4] + "abcd"': [],
    'if pw != "letmein1":\n    pass': [("password", 'if pw != "your-password":\n    pass')],
    'pw = config.get("password", "qwertz")': [("password", 'pw = config.get("password", "your-password")')],
    "# password: Summer2019": [("password", "# password: your-password")],
    'broker = "mqtt://anna:tulip77@broker.lan"': [("password", 'broker = "mqtt://anna:your-password@broker.lan"')],
    "SSID = 'FRITZ!Box 7490'": [("network name", "SSID = 'your-ssid'")],
    'ap.config(essid="Villa Anna", channel=3)': [("network name", 'ap.config(essid="your-ssid", channel=3)')],
    'bssid = "a0:f3:c1:fb:fc:3c"': [("network name", 'bssid = "01:23:45:67:89:ab"')],
    'wlan.connect("Villa Anna", "tulip77")': [
        ("network name", None),
        ("password", 'wlan.connect("your-ssid", "your-password")'),
    ],
    f'api_key = "{HEX}"': [("key", 'api_key = "0123456789abcdef0123456789abcdef"')],
    'private_key = "0x022b99092266a16a949e6a45"': [("key", 'private_key = "0x0123456789abcdef01234567"')],
    'aes_key = b"\\x91\\xf2\\x3a\\x77"': [("key", 'aes_key = b"\\x01\\x23\\x45\\x67"')],
    'BLYNK_AUTH_TOKEN = "Q7x_kL2mNp4rSt6vWy8z"': [("key", 'BLYNK_AUTH_TOKEN = "your-key-your-key-yo"')],
    f'headers = {{"X-AIO-Key": "{ADAFRUIT}"}}': [("key", None)],
    f'post("{SLACK}")': [("key", None)],
    f"x = '{GITHUB}'": [("key", None)],
    f"maps = '{GOOGLE}'": [("key", None)],
    f"ask('{OPENAI}')": [("key", None)],
    f"s3 = ('{AMAZON}', 1)": [("key", None)],
    f'KEY = """{PEM}"""': [("key", None)],
    "PEM = (\n" + "".join(f'    b"{line}\\n"\n' for line in PEM.split("\n")) + ")": [("key", None)],
    "# Anna Beispiel <anna@beispiel-und-co.de>": [("e-mail address", "# Anna Beispiel <user@example.com>")],
    "send('anna.b+pico@mail.beispiel.co.uk')": [("e-mail address", "send('user@example.com')")],
    'HOST = "84.137.22.9"': [("IP address", 'HOST = "203.0.113.1"')],
    'a = ("84.137.22.9", "91.4.5.6", "84.137.22.9")': [
        ("IP address", None),
        ("IP address", None),
        ("IP address", 'a = ("203.0.113.1", "203.0.113.2", "203.0.113.1")'),
    ],
    "# ping 84.137.22.9 first": [("IP address", "# ping 203.0.113.1 first")],
    'HOST = "2a02:8108:8ac0:2b3f::1f"': [("IP address", 'HOST = "2001:db8::1"')],
    'sms("+49 170 5551234", text)': [("phone number", 'sms("+12025550100", text)')],
    'PHONE = "(415) 867-5309"': [("phone number", 'PHONE = "202-555-0100"')],
    "latitude = 48.137154": [("coordinate", "latitude = 51.4769")],
    '{"lat": 48.1371, "lng": 11.5754}': [("coordinate", None), ("coordinate", '{"lat": 51.4769, "lng": -0.0005}')],
    "HOME = (48.13715, 11.57538)": [("coordinate", "HOME = (51.4769, -0.0005)")],
    # beside what stays by the rules below
    'password = "81726354"': [("password", 'password = "your-password"')],
    'password = b"\\x10\\x32\\x54\\x99"': [("password", 'password = b"your-password"')],
    'ssid = "Mia Beispiel"': [("network name", 'ssid = "your-ssid"')],
    'SSID = "Napoli"': [("network name", 'SSID = "your-ssid"')],
    'mail = "12345678@qq.com"': [("e-mail address", 'mail = "user@example.com"')],
    "# write to yourdon@beispiel.de": [("e-mail address", "# write to user@example.com")],
    '"""The section about servers"""; HOST = "84.137.22.9"': [
        ("IP address", '"""The section about servers"""; HOST = "203.0.113.1"')
    ],
    "lat, start_lon = 40.7128, 0\nstart_lat = 40.712831": [
        ("coordinate", "lat, start_lon = 40.7128, 0\nstart_lat = 51.4769")
    ],
}


@pytest.mark.parametrize("text", FOUND)
def test_found_and_replaced(text):
    ast.parse(text)
    new, counts = replaced(f"x = 1\n{text}\n")
    ast.parse(new)
    kinds = [kind for kind, _ in FOUND[text]]
    assert sorted(counts.elements()) == sorted(kinds) and set(kinds) <= set(KINDS)
    if kinds and FOUND[text][-1][1]:
        assert new == f"x = 1\n{FOUND[text][-1][1]}\n"
    assert replaced(new) == (new, {}), "what stands there now is no secret"


@pytest.mark.parametrize(
    "secret", [GITHUB, SLACK, GOOGLE, OPENAI, ADAFRUIT, AMAZON, BODY.split("\n")[0], BODY.split("\n")[1]]
)
def test_nothing_of_a_key_is_left(secret):
    new, counts = replaced(
        f'# é\nKEYS = ["""{PEM}""", "{GITHUB}", "{SLACK}", "{GOOGLE}", "{OPENAI}", "{ADAFRUIT}", "{AMAZON}"]\n'
    )
    assert secret not in new and secret[-12:] not in new and counts["key"] == 7
    assert "-----BEGIN RSA PRIVATE KEY-----\n" in new


STAYS = [
    # placeholders, messages, names, words
    'password = "your_password"',
    "SSID = '<your ssid>'",
    'WIFI_PASSWORD = "********"',
    'ssid = "ssid"',
    "token = 'None'",
    'password = ""',
    'ssid = "你的WiFi名称"',
    'PASSWORD_PROMPT = "Enter the password:"',
    'password = "password"',
    'print("password: wrong")',
    'token = "NAME"',
    'token_url = "https://a.com/api/tok3n"',
    'rfm69.encryption_key = b"\\x01\\x02\\x03\\x04"',
    "api_key = 'abcdefghij0123456789'",
    'password = "Adafruit_IO_key"',
    'key_file = "key1.pem"',
    'secret = "/secrets/key1"',
    'password = f"{user}-1"',
    'password = config["password"]',
    "secrets['ssid'], secrets['password']",
    'fields = ["password", "hostname1"]',
    "# password: str",
    "# token: what to send",
    'authmode = "WPA2-PSK"',
    'socket.connect(("1.2.3.4", 80))',
    'client.connect("broker.lan", "client1")',
    'html = \'<input type="password" name="pw">\'',
    "ssid_length = '32'",
    # numbers that mean nothing
    f'digest = "{HEX}"',
    "PATTERN = 'x---x---x---x---'",
    f"check(sha256(b''), '{HEX}{HEX}')",
    # addresses that are nobody's
    'ip = "192.168.1.17"',
    'dns = "8.8.8.8"',
    'HOST = "0.0.0.0"',
    'mask = "255.255.255.0"',
    'group = "224.0.0.251"',
    "# MQTT spec 3.1.2.10",
    'NETWORK = "2001:cafe:cafe:cafe::/64"',
    "v = '1.2.3.4'",
    '__version__ = "84.137.22.9.1"',
    "user@example.com",
    "git@github.com:anna/pico.git",
    "@micropython.native",
    "a = b@c.T",
    "time = '12:30:45'",
    # people may be named, numbers may be long
    "# Copyright (c) 2020 Anna Beispiel",
    "__author__ = 'Anna Beispiel'",
    "x = a +1234567890",
    "y = 48.137154",
    "pi = (3.14159, 2.71828)",
    "GAIN = (0.48131, 11.57538, 0.33333)",
    "calibrate = 0.12345",
    "platform = 1.2345",
    "phone = None",
    # what everybody counts, and bytes that nobody chose
    'wifi.connect("MiWifi", "12345678")',
    'access_password: str = "00000000"',
    'password = b"\\x00\\x00\\x00\\x00"',
    'encryption_key = b"\\x11\\x12\\x13\\x14"',
    'app_key = "2B7E151628AED2A6ABF7158809CF4F3C"',
    '("http://12.34.56.78:5432/foo/", "12.34.56.78", 5432)',
    # placeholders of other languages, and of boards
    "ssid = 'MinhaRedeWiFI'",
    "password = 'MinhaSenha123'",
    'WIFI_SSID = "MeinWLAN"',
    'ssid = "wifi_name"',
    'essid = "ESP32_AP"',
    "ssid = 'MicroPython-AP'",
    'wlan.config(essid="M5CoreS3AP")',
    'ap_ssid = "WifiManager"',
    'def __init__(self, device, user="micro", password="python"):\n    pass',
    'setText(str("SSID:") + str((wlan.config("essid"))))',
    # addresses in a URL's head, of a message, of an example
    'netloc = "User:Pass@www.python.org:080"',
    'url = "http://User:Pass@www.python.org:080/doc/"',
    'my_email = "REPLACE_WITH_YOUR_EMAIL@gmail.com"',
    '"<20020201195627.33539.96671@nightshade.la.mastaler.com>"',
    'uri = "sip:alice@atlanta.com"',
    '"""Gives an address in numbers, such\n    as \'100.50.200.5\'."""',
    '# HTML 5, sections "8.2.4.44 Bogus comment state" and "8.2.4.45 Markup declaration open state"',
    # numbers of films, and places that are on every map
    'tel = "+1-201-555-0123"',
    "# Example: phone_number = '+351912345678'",
    '"""Where it is (e.g., "48.71281,-74.00602"), as latitude and longitude"""',
    "LATITUDE, LONGITUDE = 40.7128, -74.0060\nlat = 40.7128\nlon = -74.0060",
    'place = {"min_latitude": 40.633013, "max_longitude": -104.046570}',
    'self.latitude = "0.000000"',
]


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_one_stays(text):
    assert replaced(f"x = 1\n{text}\n") == (f"x = 1\n{text}\n", {})
