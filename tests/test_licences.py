"""Licences: what counts as a word on a file's licence, whose word wins, and what passes. A further saying is one more line of a table."""

import pytest

from pipeline.core.errors import UserError
from pipeline.core.licenses import CATEGORIES, known, parsed, passes
from pipeline.data.licences import ABOUT, by_the_file, declared, judge

OPEN = ["Permissive", "Public Domain"]
LIMITED = "LicenseRef-scancode-proprietary-license"
UNKNOWN = "LicenseRef-scancode-unknown-spdx"
MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "
    '"Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, '
    "distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to "
    "the following conditions: The above copyright notice and this permission notice shall be included in all copies or substantial portions "
    'of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE '
    "WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS "
    "BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN "
    "CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."
)
GNU = (
    "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by "
    "the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
)


def comment(text: str, width: int = 70) -> str:
    return "".join(f"# {text[at : at + width]}\n" for at in range(0, len(text), width))


SAID = {
    # by an identifier
    "# SPDX-License-Identifier: GPL-3.0-or-later": ["GPL-3.0-or-later"],
    "# SPDX-License-Identifier: mit": ["MIT"],
    "# SPDX-License-Identifier: MIT OR GPL-2.0-only": ["MIT OR GPL-2.0-only"],
    "# SPDX-License-Identifier: BSD": ["BSD-3-Clause"],
    "# SPDX-License-Identifier: House-Rules": [UNKNOWN],
    "# SPDX-License-Identifier: MIT\n# MIT License, see LICENSE": ["MIT"],
    "__license__ = 'GPL-3.0'": ["GPL-3.0-only"],
    "__license__ = 'GPLv3'": ["GPL-3.0-only"],
    '__licence__ = """MIT"""': ["MIT"],
    # by a text
    "# MIT License\n#\n# Copyright (c) 2020 A\n#\n" + comment(MIT): ["MIT"],
    '"""A driver.\n\n' + GNU + '\n"""': ["GPL-3.0-or-later"],
    comment(GNU): ["GPL-3.0-or-later"],
    "# http://creativecommons.org/licenses/by-nc-sa/4.0/": ["CC-BY-NC-SA-4.0"],
    "# see https://www.gnu.org/licenses/lgpl-3.0.html": ["LGPL-3.0-only"],
    # in words
    "# Released under the GPLv3.": ["GPL-3.0-only"],
    "# (c) 2019 Jane Doe, GPL": ["GPL-1.0-or-later"],
    "# Licence: GPL-2.0+": ["GPL-2.0-or-later"],
    "# GPL v2 or later": ["GPL-2.0-or-later"],
    '"""This is licensed under the GNU Lesser\nGeneral Public License v2.1.\n"""': ["LGPL-2.1-only"],
    "# GNU AFFERO GENERAL PUBLIC LICENSE Version 3": ["AGPL-3.0-only"],
    "# GPLv2, see COPYING": ["GPL-2.0-only"],
    "# Taken from foo (GPL)": ["GPL-1.0-or-later"],
    "# based on foo by bar, which is GPLv3": ["GPL-3.0-only"],
    "# You may not use this file except under the terms of the GPL": ["GPL-1.0-or-later"],
    "# Creative Commons Attribution-NonCommercial 4.0": ["CC-BY-NC-4.0"],
    "# licensed CC BY-SA 3.0": ["CC-BY-SA-3.0"],
    "# CC-BY-NC-SA, see the site": ["CC-BY-NC-SA-4.0"],
    "# Licence: SSPL": ["SSPL-1.0"],
    "# Licensed under the EUPL": ["EUPL-1.2"],
    "# Mozilla Public License, v. 2.0": ["MPL-2.0"],
    "# Business Source License 1.1": ["BUSL-1.1"],
    "# Commons Clause applies": ["LicenseRef-scancode-commons-clause"],
    "# Placed in the public domain": ["LicenseRef-scancode-public-domain"],
    "# MIT licence; not GPL": ["MIT"],
    "# not released under the GPL but the MIT licence": ["MIT"],
    "# Dual licensed under MIT and GPLv2": ["MIT OR GPL-2.0-only"],
    "# Apache License, Version 2.0 <LICENSE-APACHE or https://www.apache.org/licenses/LICENSE-2.0> or the MIT license, at your option": [
        "Apache-2.0 OR MIT"
    ],
    "# Released under the MIT licence, and the driver or its port under GPL v3": ["GPL-3.0-only", "MIT"],
    "# It is under MIT, GPL-2.0-or-later is its parser's licence": ["GPL-2.0-or-later", "MIT"],
    "# for personal use only": [LIMITED],
    "# Free for non-commercial use": [LIMITED],
    "# Not for commercial use!": [LIMITED],
    "# no commercial use": [LIMITED],
    "# Proprietary and confidential": [LIMITED],
    "# Do not redistribute": [LIMITED],
    # in passing
    "# compatible with the GPL": [],
    "# This licence is GPL-compatible": [],
    "# a GPL-free driver": [],
    "# It works without the GPL": [],
    "# This is not under the terms of the GPL": [],
    "# see the GPL sensor": [],
    "# Free for commercial and non-commercial use": [],
    "# Copyright 2020 A. All rights reserved.": [],
    "print('Licensed under the GPL')": [],
    "# gplen: length of the pulse, GPLO, MPL3115": [],
    "# import matplotlib as mpl": [],
    "# the licence of the sensor's firmware is the maker's": [],
    "# for internal use only": [],
    "x = 'gpl'": [],
}


@pytest.mark.parametrize("text", SAID)
def test_what_a_file_says(text):
    assert [found.expression for found in by_the_file(f"{text}\nimport machine\n")] == SAID[text]


def test_a_word_is_found_where_it_stands():
    (found,) = by_the_file(
        "import machine\n\n\ndef blink():\n    '''Blinks.\n\n    Licence: the GNU\n    General Public License v2\n    '''\n"
    )
    assert found == ("GPL-2.0-only", "line 7: 'Licence: the GNU'")


REUSE = (
    'version = 1\n[[annotations]]\npath = "src/**"\nSPDX-License-Identifier = "GPL-3.0-only"\n[[annotations]]\npath = ["src/own.py"]\n'
    'SPDX-License-Identifier = "ISC"\n'
)
VERDICTS = {  # text, claim, what is shipped, metadata -> the licence, or the beginning of the reason
    "nobody says anything": ("", "MIT", {}, None, "MIT"),
    "all agree": ("# SPDX-License-Identifier: MIT", "MIT", {"LICENSE": MIT}, "MIT", "MIT"),
    "metadata say another": (
        "",
        "MIT",
        {},
        "Apache-2.0",
        "licence: claimed MIT, found Apache-2.0 (the package's metadata)",
    ),
    "metadata lie, and the config knows": (
        "",
        "Apache-2.0",
        {"LICENSE": "Apache License, Version 2.0"},
        "MIT",
        "Apache-2.0",
    ),
    "metadata name a closed licence": (
        "# SPDX-License-Identifier: MIT",
        "MIT",
        {},
        "GPL-3.0-only",
        "licence: claimed MIT, found GPL-3.0-only (the package's metadata)",
    ),
    "the licence file says another": (
        "",
        "MIT",
        {"LICENSE": "Apache License, Version 2.0"},
        "MIT",
        "licence: claimed MIT, found Apache-2.0 (LICENSE)",
    ),
    "the licence file is AGPL": (
        "",
        "MIT",
        {"COPYING.txt": "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3"},
        "MIT",
        "licence: claimed MIT, found AGPL-3.0-only (COPYING.txt)",
    ),
    "the nearest licence file": (
        "",
        "MIT",
        {"LICENSE": MIT, "lib/LICENSE": "GPLv3"},
        "MIT",
        "licence: claimed MIT, found GPL-3.0-only (lib/LICENSE)",
    ),
    "one of another folder": (
        "",
        "MIT",
        {"LICENSE": MIT, "other/LICENSE": "GPLv3", "LICENSES/GPL.txt": "GPLv3"},
        None,
        "MIT",
    ),
    "a licence file that says nothing": ("", "MIT", {"LICENSE": MIT, "lib/LICENSE": "Ask me."}, None, "MIT"),
    "a file of another open licence": (
        "# Licensed under the BSD license",
        "MIT",
        {"LICENSE": MIT},
        "MIT",
        "BSD-3-Clause",
    ),
    "a file of two": (
        "# SPDX-License-Identifier: MIT OR ISC\n# based on foo, Apache License 2.0",
        "MIT",
        {},
        None,
        "Apache-2.0 AND (ISC OR MIT)",
    ),
    "a closed file": (
        "# GPLv3",
        "MIT",
        {"LICENSE": MIT},
        "MIT",
        "licence: claimed MIT, found GPL-3.0-only (line 1: '# GPLv3')",
    ),
    "a closed file in a package with a choice": (
        "# GPLv3",
        "MIT OR GPL-3.0-only",
        {},
        None,
        "licence: claimed MIT OR GPL-3.0-only, found GPL-3.0-only (line 1",
    ),
    "a choice": ("", "MIT OR GPL-3.0-only", {"LICENSE": MIT, "COPYING": "GPL-3.0"}, None, "MIT OR GPL-3.0-only"),
    "a file with a choice": ("# SPDX-License-Identifier: GPL-2.0-only OR MIT", "MIT", {}, None, "GPL-2.0-only OR MIT"),
    "said beside the file": (
        "",
        "MIT",
        {"lib/a.py.license": "SPDX-License-Identifier: GPL-3.0-only"},
        None,
        "licence: claimed MIT, found GPL-3.0-only (lib/a.py.license)",
    ),
    "said in a table": (
        "",
        "MIT",
        {"REUSE.toml": REUSE.replace("src", "lib")},
        None,
        "licence: claimed MIT, found GPL-3.0-only (REUSE.toml)",
    ),
    "the table's last word": (
        "",
        "MIT",
        {"REUSE.toml": REUSE.replace("src/own", "lib/a").replace("src", "lib")},
        None,
        "ISC",
    ),
    "a table of other files": ("", "MIT", {"REUSE.toml": REUSE}, None, "MIT"),
    "parts of a project": (
        "",
        "MIT",
        {
            "LICENSE": "The MIT License (MIT)\n\nNote that (L)GPL-licensed code listed below is not part\nof the compiled source code.\n\n"
            "/ (MIT)\n    /lib\n        /axtls (BSD-3-clause)\n            /config (GPL-2.0-or-later)\n        /uzlib (Zlib)\n"
        },
        None,
        "MIT",
    ),
    "a broken table": (
        "",
        "MIT",
        {"REUSE.toml": "annotations = ["},
        None,
        f"licence: claimed MIT, found {UNKNOWN} (REUSE.toml)",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_whose_word_wins(case):
    text, claim, shipped, metadata, expected = VERDICTS[case]
    license, reason = judge("lib/a.py", f"{text}\nimport machine\n", claim, shipped, metadata, OPEN)
    assert (reason or license).startswith(expected)
    assert license == claim or not reason


def test_the_policy_decides():
    assert judge("a.py", "# MPL-2.0 licence", "MIT", {}, None, [*OPEN, "Copyleft Limited"]) == ("MPL-2.0", "")
    assert judge("a.py", "# MPL-2.0 licence", "MIT", {}, None, OPEN)[1]


@pytest.mark.parametrize(
    "expression, passed",
    [
        ("MIT", True),
        ("MIT AND CC0-1.0", True),
        ("MIT AND GPL-2.0-only", False),
        ("MIT OR GPL-2.0-only", True),
        ("GPL-2.0+ OR LGPL-3.0", False),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("CC-BY-NC-4.0", False),
        ("SSPL-1.0", False),
        ("LicenseRef-mine", False),
    ],
)
def test_expressions(expression, passed):
    assert passes(expression, OPEN) == passed


@pytest.mark.parametrize("expression", ["", "MIT AND (", "Apache2", "MIT/X11", "MIT GPL", "AND"])
def test_no_expression(expression):
    with pytest.raises(UserError, match="no SPDX licence"):
        parsed(expression)


def test_categories_are_the_databases():
    assert set(known().values()) == set(CATEGORIES)


@pytest.mark.parametrize(
    "metadata, licence",
    [
        ("License-Expression: MIT AND ISC\n", "MIT AND ISC"),
        ("License: The MIT License: http://www.opensource.org/licenses/mit-license.php\n", "MIT"),
        ("License: Apache 2.0\r\n", "Apache-2.0"),
        ("License: BSD\n", "BSD-3-Clause"),
        ("License: GPLv3\n", "GPL-3.0-only"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("License: see file\n", None),
        ("Name: a\n\nLicense: MIT\n", None),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)\n",
            "GPL-3.0-or-later",
        ),
    ],
)
def test_what_metadata_declare(metadata, licence):
    assert declared(metadata) == licence


@pytest.mark.parametrize(
    "path, about",
    [
        ("LICENSE", True),
        ("lib/LICENCE.md", True),
        ("COPYING.LESSER", True),
        ("LICENSES/MIT.txt", True),
        ("NOTICE", True),
        ("lib/a.py.license", True),
        ("REUSE.toml", True),
        ("PKG-INFO", True),
        ("robo.egg-info/PKG-INFO", True),
        ("robo-1.0.dist-info/METADATA", True),
        ("license.py", False),
        ("lib/METADATA", False),
        ("licensed.txt", False),
        ("logo.png.license", False),
        ("LICENSES.py", False),
    ],
)
def test_files_that_say_something(path, about):
    assert bool(ABOUT.fullmatch(path)) == about


def test_a_claim_alone_may_keep_a_file_out():
    """As a row of a data set claims it for itself."""
    assert judge("a.py", "x = 1\n", "GPL-3.0-only", {}, None, OPEN) == (
        "GPL-3.0-only",
        "licence: GPL-3.0-only is of the category Copyleft",
    )
    assert judge("a.py", "x = 1\n", "GPL-3.0-only OR MIT", {}, None, OPEN) == ("GPL-3.0-only OR MIT", "")
