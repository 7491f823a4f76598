"""A Wi-Fi access point that the board can join; where it drops the board, it is gone for a while."""

from pydantic import Field

from pipeline.board.devices import Device, Times
from pipeline.board.hardware.network import AccessPoint
from pipeline.core.schema import Text


class AccessPointDevice(Device):
    ssid: Text
    password: str  # "" is an open network
    at: float = Field(default=0, ge=0)  # when it appears, seconds
    drops: Times = Field(default_factory=list)  # when it goes away
    away: float = Field(default=2, gt=0, alias="for")  # how long each time

    def attach(self, board):
        point, network = AccessPoint(self.ssid, self.password), board.network
        board.at(round(self.at * 1_000_000), lambda: network.appear(point))
        for when in self.drops:
            board.at(round(when * 1_000_000), lambda: network.vanish(point))
            board.at(round((when + self.away) * 1_000_000), lambda: network.appear(point))
