"""`robo ask`: a wish in plain words, and a program that does it, from the served file in this process or from Ollama.

The model is small and slips; running what it writes costs milliseconds. So with `--samples` it is asked several times, and the first answer
is taken that passes what can be checked without knowing the task (pipeline/evaluation/plausible.py). What was checked is said.
"""

import re
import sys
from pathlib import Path

from flows.exam import chosen, how_many
from pipeline.board import boards
from pipeline.core.config import load
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.prompt import as_prompt
from pipeline.evaluation import plausible

BOARDS = (("pico_w", r"\bpico[ _-]?w\b"), ("esp32", r"\besp[ -]?32\b"), ("pico", r"\b(?:pico|rp2040)\b"))
FOREIGN = {
    "German": r"\b(?:und|der|die|das|den|dem|ich|eine?n?|soll|bitte|lasse?|wenn|schalte|mit|an|auf|blinken|Sekunden?|Taster?)\b",
    "French": r"\b(?:le|la|les|une?|et|je|fais|sur|avec|quand|allume|clignoter|secondes?|broche|bouton)\b",
    "Spanish": r"\b(?:el|los|una?|y|en|quiero|con|cuando|enciende|por favor|parpadear|haz|segundos?|bot[oó]n)\b",
    "Italian": r"\b(?:il|gli|una?|e|sul|voglio|con|quando|accendi|fai|lampeggiare|secondi?|pulsante)\b",
}


def board_of(request: str, given: str | None) -> str:
    """The board that is meant. Raises UserError where request and --on disagree."""
    named = next((board for board, pattern in BOARDS if re.search(pattern, request, re.IGNORECASE)), None)
    if given is not None:
        boards.load(given)
        if named and named.split("_")[0] != given.split("_")[0]:
            raise UserError(
                f"the request speaks of a {boards.load(named).title}, but --on is {given}; leave --on out, or say --on {named}"
            )
    return given or named or "pico"


def checked(request: str) -> str:
    """The request in one line. Raises UserError for an empty one, and for a language that the model was not taught."""
    said = " ".join(request.split())
    if not said:
        raise UserError('what shall the program do? For example: robo ask "Blink the LED on pin 15 twice a second"')
    words = len(re.findall(r"\w+", said))
    for language, pattern in FOREIGN.items():
        if len(re.findall(pattern, said, re.IGNORECASE)) * 3 >= words + 2:
            raise UserError(f"this looks like {language}; the model was taught English alone")
    return said


def report(findings: list[plausible.Finding], file=sys.stderr) -> None:
    for what, fault in findings:
        print(f"  {'not so' if fault else 'ok    '}  {what}{f': {fault}' if fault else ''}", file=file)


def ask(arguments) -> None:
    """Prints the program. Exits with 1 where none passed what was checked, with 3 where the model says that it cannot."""
    config, request = load(), checked(arguments.request)
    board = board_of(request, arguments.on)
    samples = how_many(arguments.samples)
    who, model = chosen(arguments.model, arguments.max_tokens, False)
    prompt = as_prompt(config.params.exam.prompt, request, boards.load(board).title)
    choice = plausible.choose(model, prompt, samples, request, board)
    if choice.refused:
        print(choice.refused, file=sys.stderr)
        sys.exit(3)
    print(choice.program, end="")
    print(
        f"{who}, answer {choice.asked} of at most {samples}, tried on a simulated {board}; whether it does what you want was not checked:"
        if choice.good
        else f"{who}: none of {choice.asked} answers passed; this one came closest:",
        file=sys.stderr,
    )
    report(choice.findings)
    if arguments.output:
        write_text(Path(arguments.output), choice.program)
    if arguments.run:
        from pipeline.board import show
        from pipeline.board.run import run

        show.show(run(choice.program, board), "the program", show.console(), [])
    sys.exit(0 if choice.good else 1)
