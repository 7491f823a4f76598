"""How files that stay out are counted: by the words of their reason that are not this file's own."""


def kind(reason: str) -> str:
    """Of `long lines: 37% of ...` the long lines, of `duplicate of led/main.py` the duplicate."""
    return reason.split(":")[0].split(" of ")[0]
