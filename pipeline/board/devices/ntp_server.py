"""A time server for ntptime.settime(): any of the pool's, or the one named."""

import struct
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.board.devices import Device
from pipeline.core.schema import Text

SINCE_1900 = 2_208_988_800  # seconds from the protocol's first to 1970's

WELL_KNOWN = (
    "pool.ntp.org",
    "*.pool.ntp.org",
    "time.google.com",
    "time.nist.gov",
    "time.cloudflare.com",
    "time.windows.com",
    "ntp.ubuntu.com",
)


def moment(value):
    """ "2026-03-01 07:59:50" as it stands in a file, which YAML may have read as a time already."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class NtpServer(Device):
    time: Annotated[datetime, BeforeValidator(moment)]  # UTC, when the run starts
    host: Text | None = None  # left out: the well-known ones
    loses: int = Field(default=0, ge=0)  # so many queries at first, which get no answer

    def attach(self, board):
        start = round(self.time.replace(tzinfo=UTC).timestamp() * 1_000_000)
        left = [self.loses]

        def answer(query: bytes) -> bytes | None:
            if left[0] > 0:
                left[0] -= 1
                return None
            seconds, rest = divmod(start + board.now, 1_000_000)
            stamp = struct.pack("!II", seconds + SINCE_1900, (rest << 32) // 1_000_000)
            return b"\x24\x02\x06\xe9" + bytes(28) + stamp + stamp  # a server's answer, version 4

        for host in [self.host] if self.host else WELL_KNOWN:
            board.sockets.respond(host, 123, answer)
