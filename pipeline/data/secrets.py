"""Takes out of a text what is nobody's business: keys, tokens, passwords, networks' names, addresses, phone numbers, where somebody lives.

A model repeats what it read, so these are replaced before anything else sees the text, by what a tutorial would write in their place;
code parses as before. Only counts leave this module, by kind; what was found is neither logged nor kept.

Tokens of known services and private keys are found by kingfisher's rules, which know their forms. The rest has no form, only a place: a
text that is assigned, compared, passed or written under a name such as `password`. What such a text may be else (a placeholder, a message,
a file's name, a word of a grammar) stays. Long hexadecimal numbers alone mean nothing here: they are test vectors and drum patterns.

Kept are authors' names, in licence headers and anywhere: licences ask for them. Their e-mail addresses go, since no licence needs these;
the licence files, which a release brings along, stay as they are. Private and documentation addresses (192.168.1.1) and public resolvers
(8.8.8.8) are nobody's, and stay.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import cycle, islice, pairwise

KINDS = ("key", "password", "network name", "e-mail address", "IP address", "phone number", "coordinate")
NOBODYS = {
    "1.2.3.4",
    "4.3.2.1",
    "5.6.7.8",
    "123.45.67.89",
    "8.8.8.8",
    "8.8.4.4",
    "1.1.1.1",
    "1.0.0.1",
    "9.9.9.9",
    "208.67.222.222",
    "208.67.220.220",
    "4.2.2.2",
    "114.114.114.114",
    "2b7e151628aed2a6abf7158809cf4f3c",  # NIST's key for trying out AES
}

QUOTED = r"(?P<quote>[\"'])(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.)+)(?P=quote)"
NAMES = {  # the end of a name -> what a text under it is
    "password": r"\w*(?:password|passwd|passwort|passphrase)|(?:\w*_)?(?:pass|passcode|pwd|psk|pw|(?:wifi|wlan|wpa|network)_?key)",
    "network name": r"\w*ssid|(?:\w*_)?(?:(?:wifi|wlan)_?(?:name|network)|network_?name)",
    "key": r"(?:\w*_)?(?:token|secret|webhook|(?:api|app|auth|access|secret|private|aio|io|license|account|encryption|aes)_?key)",
}
NAMED = {kind: re.compile(rf"(?:{names})_?\d*", re.IGNORECASE) for kind, names in NAMES.items()}
# name = "...", name: str = "...", "name": "...", ["name"] = "...", name == "..."; get("name", "...")
ASSIGNED = re.compile(
    r"(?<![\w-])(?P<name>[A-Za-z_][\w-]*)[\"']?\]?[ \t]*(?::[ \t]*\w+[ \t]*=|[=!]=|=|:)[ \t]*\(?[rub]{0,2}" + QUOTED
)
FALLBACK = re.compile(r"\b(?:get|setdefault|getenv)\([\"'](?P<name>\w+)[\"'],[ \t]*[rub]{0,2}" + QUOTED)
CONNECT = re.compile(
    r"\b\w*connect\w*\([ \t]*[bru]?(?P<q1>[\"'])(?P<first>(?:(?!(?P=q1))[^\\\n]|\\.)*)(?P=q1)[ \t]*,[ \t]*[bru]?"
    r"(?P<quote>[\"'])(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.)*)(?P=quote)",
    re.IGNORECASE,
)
NOTED = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*(?: key)?)[ \t]*(?: is |=|:)[ \t]*(?P<value>[^\s\"'<>(){}\[\],;#]{6,})(?=[ \t]*(?:$|[,;)]))",
    re.MULTILINE,
)
# What boards talk to. Kingfisher knows these too, but asks for a checksum or a name beside them; a mistyped key is as good as a right one here
FORMS = re.compile(
    r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|sk-[\w-]{32,}|aio_\w{28}|"
    r"xox[abposr]-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|npm_\w{36}|SG\.[\w-]{16,}\.[\w-]{32,}|\d{8,10}:AA[\w-]{33}|"
    r"eyJ[\w-]{12,}\.eyJ[\w-]{12,}\.[\w-]{20,}|(?<=hooks\.slack\.com/services/)[\w/]{30,}|(?<=/api/webhooks/)\d+/[\w-]{50,}|"
    r"(?<=maker\.ifttt\.com/trigger/)[\w/]+/key/[\w-]{16,})"
)
IN_URL = re.compile(r"(?<=://)(?P<user>[^\s/:@\"'{}<>%]+):(?P<value>[^\s/:@\"'{}<>%]+)(?=@[\w.-]+)")
# What stands where a secret would, and is none
PLACEHOLDER = re.compile(
    r".{0,2}|.*(?:your|你的|您的|<|>|x{3,}|\*{3,}|\.{3}|_{3,}|example|placeholder|replace|dummy|sample|secret|passw|passphrase|ssid|token|\{|\}|%[sdr]|"
    r"://|\$|(?<![a-z])(?:my[-_ ]|(?:change|insert|enter|foo|bar|todo|fixme|none|null|put|here|fill)(?![a-z]))).*|"
    r".*[-_ ](?:key|id)|.*(?:senha|contrase[nñ]a|passwort|kennwort|mot_?de_?passe|wachtwoord).*|(?:has[lł]o|parola?|clave)\w*|"
    r"(?:my|me?i|mia|meine?|mon|minha|meu|mijn)[-_ ]?(?:wifi|wi-fi|wlan|rede|netz|netzwerk|reseau|home|network|ap)(?:[-_ ]?wi-?fi)?|"
    r"(?:esp[-_ ]?(?:32|8266)?\w?\d?|pico[-_ ]?2?w?|rpi|micropython|circuitpython|arduino)(?:[-_ ](?:wi-?fi|network|server))?|"
    r"(?:wi-?fi|wlan|network|net|ap)[-_ ]?(?:name|network|manager)|(?-i:.*[a-z0-9]AP)|.*[-_ ](?:ap|access[-_ ]?point|hotspot|portal|setup)|"
    r"(?:test|demo|key|wifi|wi-fi|wlan|network|admin|user|guest|default|pass|pwd|psk|open|wep|wpa\d?|string|str|bytes|text|hidden|input|name|value|"
    r"true|false|yes|no|ok|python|raspberry|md5|sha\d*|basic|bearer|digest|utf-?8)(?:[-_ ]?\w{0,2})?",
    re.IGNORECASE | re.DOTALL,
)
COUNTED = "01234567890123456789"  # nobody's password or address
BYTE = re.compile(r"\\x([0-9a-fA-F]{2})")
SERIES = re.compile(r"abcdef|123456|\\x01\\x02\\x03|(.)\1{5}", re.IGNORECASE)  # no key looks like that
FILE = re.compile(r"[./].*|.*\.(?:txt|json|dat|py|pem|crt|cer|der|key|conf|cfg|ini|html?|csv|db|env)", re.IGNORECASE)

# Each is looked for by what is rare in it, an @ or a long fraction, and what stands before that is looked at then: ten times as fast
MAIL_AFTER = re.compile(r"(?<=[\w+-])@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,12}(?![\w@-])")
MAIL_BEFORE = re.compile(r"(?<![\w.+%@/-])[A-Za-z0-9][\w.+-]*$")
NOBODY = re.compile(
    r"(?:(?:.*[-_.])?(?:your|replace)(?:[-_.].*|e?mail|name|address)?|git|no-?reply|you|user|username|name|foo|email|pass|password|"
    r"\d+\.[\d.]+)@|.*@(?:[\w-]+\.)*(?:example|test|invalid|localhost|domain|email|host|company|atlanta|biloxi)\.?"
    r"(?:com|org|net|edu)?$|.*\.(?:png|jpe?g|gif|svg|bmp|py|local|example|test)$|.*@users\.noreply",
    re.IGNORECASE,
)
IP4 = re.compile(r"(?<![\w.:-])(?P<value>[1-9]\d{0,2}(?:\.\d{1,3}){3})(?![\w-]|\.\d)")
IP6 = re.compile(
    r"(?<![\w:.])(?![\w:]*(?:cafe|beef|dead|babe))(?P<value>2[0-9a-f]{3}(?::[0-9a-f]{0,4}){2,7})(?![\w:])",
    re.IGNORECASE,
)
ADDRESSED = re.compile(
    r"(?:[\"'/@]|\b(?:ip|host|addr|server|broker|gateway|dns|from|to|at|ping)\w*[\"']?\s*(?:is\b|=|:)?\s*)$",
    re.IGNORECASE,
)
# What is numbered as addresses are, and perhaps a second one of them
SECTION = re.compile(
    r"\b(?:sections?|chapters?|clauses?|version|spec|rfc)\W*(?:\d+(?:\.\d+)+\D{0,60})?$", re.IGNORECASE
)
EXAMPLE = re.compile(r"(?:\be\.g\.|\bfor example\b|\bsuch\s+as\b)[,:]?[ \t]*[\"'`]*$", re.IGNORECASE)  # in prose
FICTION = re.compile(r"555\D?01\d\d$|2345678")
PHONE = re.compile(
    r"(?<![\w+.*/)\]-])(?P<value>\+[1-9]\d{0,2}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4})(?![\w.]|[ .-]?\d)"
)
LOCAL = re.compile(r"(?<![\w.-])(?P<value>\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})(?![\w.-])")
CALLED = re.compile(
    r"\b(?:phone|tel|telephone|mobile|cell|sms|call)[\w ]*[\"']?[ \t]*[:=]?[ \t]*[\"']?$", re.IGNORECASE
)
FRACTION = re.compile(r"(?<![\w.])-?\d{1,3}\.\d{3,}(?![\w.])")
AXIS = re.compile(
    r"(?<![A-Za-z])(?:[a-z0-9]+_)*(?P<axis>lat|latitude|lon|lng|long|longitude)(?:_?\d)?[\"']?\]?[ \t]*(?:[=!]=|=|:)[ \t]*[\"']?$",
    re.IGNORECASE,
)
PAIR = re.compile(r"(?P<value>-?\d{1,2}\.\d{4,8}[ \t]*,[ \t]*-?\d{1,3}\.\d{4,8})(?![\w.]|[ \t]*,[ \t]*-?\d)")
NEAR = re.compile(r"lat|lon|gps|coord|location|home|map", re.IGNORECASE)
BOUND = re.compile(r"(?:min|max|north|south|east|west)[a-z]*_", re.IGNORECASE)  # of a map, a country
# Where a city is said to be: its middle, which tutorials write
CITIES = {
    "New York": (40.7128, -74.006),
    "London": (51.5074, -0.1278),
    "Berlin": (52.52, 13.405),
    "Paris": (48.8566, 2.3522),
    "Los Angeles": (34.0522, -118.2437),
    "San Francisco": (37.7749, -122.4194),
    "Chicago": (41.8781, -87.6298),
    "Seattle": (47.6062, -122.3321),
    "Tokyo": (35.6762, 139.6503),
    "Sydney": (-33.8688, 151.2093),
}
CENTRES = {coordinate for city in CITIES.values() for coordinate in city}
PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.{20,8000}?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
BASE64 = re.compile(r"[A-Za-z0-9+/=]{16,}")
RUN = re.compile(r"[A-Za-z0-9+/=_-]{4,}")
HARDWARE = re.compile(r"(?:[0-9a-fA-F]{2}[:-]?){6}")  # by which a router is found on a map
COMMENT = re.compile(r"#[^\n]*")
PLACEHOLDERS = {
    "password": "your-password",
    "network name": "your-ssid",
    "e-mail address": "user@example.com",
    "phone number": "+12025550100",
}
GREENWICH = {"lat": "51.4769", "lon": "-0.0005"}


@cache
def scanner():
    """Kingfisher's. It compiles its rules once on a machine (half a minute) and keeps them in the user's cache; asks nobody on a network."""
    from kingfisher_sdk import Rules, Scanner

    return Scanner(Rules(confidence="medium"), base64=False, dedup=False, redact=False)


def filler(value: str) -> str:
    """What stands for a key: as long, since programs count the characters of one, and in hexadecimal where it was."""
    if re.fullmatch(r"(?:0x)?[0-9a-fA-F:-]+|(?:\\x[0-9a-fA-F]{2})+", value):
        digits = cycle("0123456789abcdef")
        return re.sub(r"0x|\\x|[0-9a-fA-F]", lambda sign: sign[0] if len(sign[0]) > 1 else next(digits), value)
    return "".join(islice(cycle("your-key-"), len(value)))


def counted(value: str) -> bool:
    """12345678, 0000, 12.34.56.78, \\x11\\x12\\x13."""
    digits = value.replace(".", "")
    if digits.isdecimal():
        return digits in COUNTED or digits[::-1] in COUNTED or len(set(digits)) == 1
    values = [int(sign, 16) for sign in BYTE.findall(value)]
    return 4 * len(values) == len(value) and len({after - before for before, after in pairwise(values)} - {0, 1}) == 0


def is_secret(kind: str, value: str, name: str) -> bool:
    if (
        PLACEHOLDER.fullmatch(value)
        or value.lower() in name.lower()
        or value.startswith("%")
        or counted(value)
        or value.lower() in NOBODYS
    ):
        return False
    if kind == "network name":
        return bool(HARDWARE.fullmatch(value)) or (
            len(value) <= 32 and not re.search(r"^[)\],]|[?:;]|!$|\\n|  ", value)
        )
    if re.search(r"\s", value) or FILE.fullmatch(value):
        return False
    if kind == "password":
        return len(value) >= 4
    return len(value) >= 8 and bool(re.search(r"\d", value)) and not SERIES.search(value)


@cache
def kind_of(name: str) -> str | None:
    """What a text under this name is, if it is a secret at all. `wifiPassword` is `wifi_Password`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(" ", "_")
    return next((kind for kind, pattern in NAMED.items() if pattern.fullmatch(snake)), None)


def keys(text: str) -> list[tuple[int, int, str, str]]:
    found = []
    for block in PEM.finditer(text):
        found.append((*block.span(), "key", BASE64.sub(lambda run: "A" * len(run[0]), block[0])))
    data, blocks = text.encode(), list(found)
    spans = [
        tuple(len(data[: finding.location[at]].decode()) for at in ("start_offset", "end_offset"))
        for finding in scanner().scan(data)
        if finding.visible
    ]
    for start, end in spans + [form.span() for form in FORMS.finditer(text)]:
        if end - start < 8 and PLACEHOLDER.fullmatch(text[start:end]):
            continue
        if not any(a < end and start < b for a, b, *_ in blocks):
            found.append((start, end, "key", RUN.sub(lambda run: filler(run[0]), text[start:end])))
    return found


def named(text: str) -> list[tuple[int, int, str, str]]:
    found = []
    for match in (*ASSIGNED.finditer(text), *FALLBACK.finditer(text)):
        kind, value = kind_of(match["name"]), match["value"]
        if kind and is_secret(kind, value, match["name"]):
            found.append(
                (
                    *match.span("value"),
                    kind,
                    filler(value) if HARDWARE.fullmatch(value) or kind == "key" else PLACEHOLDERS[kind],
                )
            )
    for match in CONNECT.finditer(text):
        if match["first"] and is_secret("network name", match["first"], "") and not re.search(r"[./@]", match["first"]):
            found.append((*match.span("first"), "network name", PLACEHOLDERS["network name"]))
            if is_secret("password", match["value"], ""):
                found.append((*match.span("value"), "password", PLACEHOLDERS["password"]))
    for comment in COMMENT.finditer(text):
        for match in NOTED.finditer(comment[0]):
            kind, value = kind_of(match["name"]), match["value"]
            if (
                kind
                and re.search(r"\d", value)
                and re.search("[A-Za-z]", value)
                and is_secret(kind, value, match["name"])
            ):
                at = comment.start()
                found.append(
                    (at + match.start("value"), at + match.end("value"), kind, PLACEHOLDERS.get(kind) or filler(value))
                )
    for match in IN_URL.finditer(text):
        if is_secret("password", match["value"], ""):
            found.append((*match.span("value"), "password", "your-password"))
    return found


def is_example(text: str, at: int) -> bool:
    """Whether prose gives what stands here as an example of its kind."""
    return bool(EXAMPLE.search(text[max(0, at - 40) : at]))


def addresses(text: str) -> list[tuple[int, int, str, str]]:
    found, seen = [], {}
    for after in MAIL_AFTER.finditer(text):
        line = text[max(0, after.start() - 64) : after.start()]
        before = MAIL_BEFORE.search(line)
        if before and not re.search(r"://\S*$", line) and not NOBODY.match(before[0] + after[0]):
            found.append(
                (after.start() - len(before[0]), after.end(), "e-mail address", PLACEHOLDERS["e-mail address"])
            )
    for pattern, form in ((IP4, "203.0.113.{}"), (IP6, "2001:db8::{}")):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match["value"])
            except ValueError:
                continue
            if (
                address.is_global
                and not address.is_multicast
                and match["value"] not in NOBODYS
                and not counted(match["value"])
                and not is_example(text, match.start())
                and not SECTION.search(text[max(0, match.start() - 80) : match.start()])
                and ADDRESSED.search(text[max(0, match.start() - 24) : match.start()])
            ):
                number = seen.setdefault(address, len(seen) + 1)
                found.append((*match.span("value"), "IP address", form.format(min(number, 254))))
    return found


def people(text: str) -> list[tuple[int, int, str, str]]:
    found = [
        (*match.span("value"), "phone number", "202-555-0100")
        for match in LOCAL.finditer(text)
        if CALLED.search(text[max(0, match.start() - 40) : match.start()]) and not FICTION.search(match["value"])
    ]
    for match in PHONE.finditer(text):
        quoted = text[match.start() - 1 : match.start()] in ("'", '"', ":")  # else it may be a sum
        if FICTION.search(match["value"]):
            continue
        if 8 <= len(re.findall(r"\d", match["value"])) <= 15 and (quoted or re.search(r"[ ()]", match["value"])):
            found.append((*match.span("value"), "phone number", PLACEHOLDERS["phone number"]))
    for number in FRACTION.finditer(text):
        axis = AXIS.search(text[max(0, number.start() - 40) : number.start()])
        pair = None if axis else PAIR.match(text, number.start())
        if float(number[0]) in CENTRES | {0} or (axis and BOUND.match(axis[0])) or is_example(text, number.start()):
            continue
        if axis and abs(float(number[0])) <= 180:
            found.append(
                (*number.span(), "coordinate", GREENWICH["lat" if axis["axis"].lower().startswith("lat") else "lon"])
            )
        elif pair and NEAR.search(text[max(0, pair.start() - 80) : pair.end() + 40]):
            found.append((*pair.span(), "coordinate", f"{GREENWICH['lat']}, {GREENWICH['lon']}"))
    return found


FINDERS: tuple[Callable, ...] = (named, addresses, people, keys)  # of two that find the same, the first says what it is


def replaced(text: str) -> tuple[str, Counter]:
    """The text with placeholders for what is nobody's business, and how many of each kind there were."""
    spans: list[tuple[int, int, str, str]] = []
    for start, end, kind, placeholder in (span for find in FINDERS for span in find(text)):
        if text[start:end] != placeholder and not any(a < end and start < b for a, b, *_ in spans):
            spans.append((start, end, kind, placeholder))
    pieces, done = [], 0
    for start, end, _, placeholder in sorted(spans):
        pieces += [text[done:start], placeholder]
        done = end
    return "".join((*pieces, text[done:])), Counter(kind for _, _, kind, _ in spans)
