"""A corpus with planted faults: what is found, what is missed, and what is taken for a fault among 500 clean programs, by kind.

The clean ones are the exam's solutions, each under a line that looks like a fault and is none. A kind of fault is a table here.
"""

import ast
import random
from collections import Counter

import pytest
import yaml
from chain import REPOSITORY
from test_dialects import ON_A_DESKTOP
from test_licences import GNU, MIT, comment
from test_secrets import ADAFRUIT, AMAZON, GITHUB, GOOGLE, HEX, OPENAI, PEM, SLACK

from pipeline.data import dialects, licences, quality, secrets

OPEN = ["Permissive", "Public Domain"]
SECRETS = [  # kind, the secret, a line of code or a comment with it
    ("password", "hunter2Blah", "WIFI_PASSWORD = '{}'"),
    ("password", "tulip-77", 'wlan.connect(ssid, password="{}")'),
    ("password", "s3same!open", 'CONFIG = {{"psk": b"{}"}}'),
    ("password", "Summer2019", "# password: {}"),
    ("password", "qwertz99", "PASS = '{}'"),
    ("password", "letmein1", 'if entered_pw == "{}":\n    pass'),
    ("password", "tulip77", "URL = 'http://anna:{}@10.0.0.7/cam'"),
    ("network name", "FRITZ!Box 7490", "SSID = '{}'"),
    ("network name", "Villa Anna", 'ap.config(essid="{}")'),
    ("network name", "TP-LINK_FBFC3C", "wifi_name = '{}'"),
    ("network name", "a0:f3:c1:fb:fc:3c", 'bssid = "{}"'),
    ("key", GITHUB, "requests.get(url, headers={{'Authorization': 'token {}'}})"),
    ("key", SLACK.split("services/")[1], "# https://hooks.slack.com/services/{}"),
    ("key", GOOGLE, "maps = '{}'"),
    ("key", OPENAI, 'ask("{}")'),
    ("key", ADAFRUIT, "AIO = '{}'"),
    ("key", AMAZON, "# aws {} is the old one"),
    ("key", HEX[::-1], 'weather_api_key = "{}"'),
    ("key", "Q7x_kL2mNp4rSt6vWy8z", "BLYNK_AUTH_TOKEN = '{}'"),
    ("key", PEM.split("\n")[1], f'KEY = """{PEM}"""'),
    ("key", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9", "bot = Bot('{}')"),
    ("e-mail address", "anna@beispiel-und-co.de", "# by Anna Beispiel <{}>"),
    ("e-mail address", "anna.b+pico@beispiel.co.uk", "mail.send('{}', text)"),
    ("IP address", "84.137.22.9", "HOST = '{}'"),
    ("IP address", "2a02:8108:8ac0:2b3f::1f", "HOST6 = '{}'"),
    ("phone number", "+49 170 5551234", "sms('{}', 'hello')"),
    ("phone number", "(415) 867-5309", "# Tel: {}"),
    ("coordinate", "48.137154", "latitude = {}"),
    ("coordinate", "48.13715, 11.57538", "HOME = ({})"),
    ("coordinate", "11.575382", 'place = {{"lng": {}}}'),
]
LICENCES = [  # what stands above the program, what the source ships, what the package's metadata say; all of them claim MIT
    ("# SPDX-License-Identifier: GPL-3.0-or-later", {}, None),
    ("# SPDX-License-Identifier: CC-BY-NC-SA-4.0", {}, None),
    (comment(GNU), {}, None),
    (f'"""{GNU}"""', {}, None),
    ("# Released under the GPLv2", {}, None),
    ("# (c) 2019 Anna, LGPL", {}, None),
    ("# CC BY-SA 4.0", {}, None),
    ("# Creative Commons Attribution-NonCommercial 4.0", {}, None),
    ("# Licensed under the EUPL", {}, None),
    ("# Licence: SSPL", {}, None),
    ("# for personal use only", {}, None),
    ("# Not for commercial use", {}, None),
    ("__license__ = 'AGPL-3.0'", {}, None),
    ("# Taken from grbl (GPLv3)", {}, None),
    ("# This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.", {}, None),
    ("", {"LICENSE": "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"}, "MIT"),
    ("", {"LICENSE": MIT, "lib/COPYING": "GNU LGPL v2.1"}, "MIT"),
    ("", {"lib/a.py.license": "SPDX-License-Identifier: GPL-2.0-only"}, None),
    ("", {"LICENSE": "Apache License, Version 2.0"}, "MIT"),
    ("", {}, "GPL-3.0-only"),
]
SAYINGS = [
    "# MIT licence; not GPL",
    "# Compatible with the GPL",
    "# SPDX-License-Identifier: MIT",
    "# Copyright (c) 2020 Anna. All rights reserved.",
    "# Licensed under the Apache License, Version 2.0",
    'SSID = "your-ssid"',
    'PASSWORD = "********"',
    f'DIGEST = "{HEX}"',
    "IP = '192.168.4.1'",
]


@pytest.fixture(scope="module")
def clean() -> list[str]:
    tasks = [
        task
        for file in (REPOSITORY / "exam").glob("*/*.yaml")
        for task in yaml.load(file.read_text(), yaml.CSafeLoader)
    ]
    programs = {
        task["solution"] for task in tasks if ".connect(" not in task["solution"]
    }  # those know a network's name and password
    assert len(programs) > 300
    return [f"{saying}\n{program}" for saying, program in zip(SAYINGS * 500, sorted(programs) * 2, strict=False)][:500]


def test_secrets_among_clean_programs(clean):
    found, false = Counter(), Counter()
    draw = random.Random(16)
    for program in clean:
        false.update(secrets.replaced(program)[1])
    for kind, secret, line in SECRETS:
        new, counts = secrets.replaced(draw.choice(clean) + line.format(secret) + "\n")
        ast.parse(new)
        found[kind] += counts[kind] == 1 and secret not in new
    assert not false
    assert found == Counter(kind for kind, *_ in SECRETS) and found.total() == 30 and set(found) == set(secrets.KINDS)


def test_licences_among_clean_programs(clean):
    draw = random.Random(16)

    def reason(text, shipped=None, metadata=None):
        return licences.judge("lib/a.py", text, "MIT", shipped or {}, metadata, OPEN)[1]

    assert [program for program in clean if reason(program)] == []
    silent = [program for program in clean if not licences.by_the_file(program)]
    missed = [case for case in LICENCES if not reason(f"{case[0]}\n{draw.choice(silent)}", *case[1:])]
    assert not missed and len(LICENCES) == 20


def test_desktop_programs_among_clean_programs(clean):
    """A desktop program may say what it likes above what it needs; the clean ones are for boards, and nobody's test, table or machine's work."""
    draw = random.Random(16)
    found = [
        module
        for module, text in ON_A_DESKTOP
        if (dialects.desktop(f"{draw.choice(SAYINGS)}\n{text}") or "").count(module)
    ]
    assert found == [module for module, _ in ON_A_DESKTOP] and len(found) == 10
    assert [program for program in clean if dialects.desktop(program)] == []
    assert [program for program in clean if any(each(program, {}) for each in quality.FILTERS)] == []
    assert {dialects.told(program) for program in clean} <= {"MicroPython", ""}
