"""Programs as people write them for a board: name -> (what stands around it, the program). None of them fails."""

from everyday_others import OTHERS
from everyday_pins import PINS

PROGRAMS = PINS | OTHERS
