"""`robo ask`: a wish in plain words, and a program that does it, from the served file in this process or from Ollama.

The model is small and slips; running what it writes costs milliseconds. So with `--samples` it is asked several times, and the first answer
is taken that passes what can be checked without knowing the task (pipeline/evaluation/plausible.py). What was checked is said.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from flows.exam import chosen
from pipeline.board import boards
from pipeline.core.config import load
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.prompt import as_prompt
from pipeline.evaluation import plausible
from pipeline.evaluation.robobench import program_of

TEMPERATURE = 0.7  # of every answer but the first, which is the likeliest
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


def answers(model, prompt: str, samples: int) -> Iterator[str]:
    """The likeliest answer, then drawn ones."""
    for number in range(samples):
        answer = model.ask(prompt) if number == 0 else model.draw(prompt, TEMPERATURE, seed=number)
        if answer.failed:
            raise UserError(f"the request is too long: {answer.failed}")
        yield program_of(answer.text, "", answer.cut).rstrip() + "\n"


def report(findings: list[plausible.Finding], file=sys.stderr) -> None:
    for what, fault in findings:
        print(f"  {'not so' if fault else 'ok    '}  {what}{f': {fault}' if fault else ''}", file=file)


def ask(arguments) -> None:
    """Prints the program. Exits with 1 where none passed what was checked, with 3 where the model says that it cannot."""
    config, request = load(), checked(arguments.request)
    board = board_of(request, arguments.on)
    if not 1 <= arguments.samples <= 100:
        raise UserError(f"--samples: {arguments.samples} must be from 1 to 100")
    who, model = chosen(arguments.model, arguments.max_tokens, False)
    prompt = as_prompt(config.params.exam.prompt, request, boards.load(board).title)
    best, found, asked, good = "", [], 0, False
    for program in answers(model, prompt, arguments.samples):
        asked += 1
        said = plausible.refusal(program)
        if said and not (fault := plausible.mistaken(said, request)):
            print(said, file=sys.stderr)
            sys.exit(3)
        findings = (
            [plausible.Finding(f"what it says: {said.rstrip('.')}", fault)]
            if said
            else plausible.findings(request, program, board)
        )
        good = not any(finding.fault for finding in findings)
        if good or not best or sum(f.fault is None for f in findings) > sum(f.fault is None for f in found):
            best, found = program, findings
        if good:
            break
    print(best, end="")
    print(
        f"{who}, answer {asked} of at most {arguments.samples}, tried on a simulated {board}; whether it does what you want was not checked:"
        if good
        else f"{who}: none of {asked} answers passed; this one came closest:",
        file=sys.stderr,
    )
    report(found)
    if arguments.output:
        write_text(Path(arguments.output), best)
    if arguments.run:
        from pipeline.board import show
        from pipeline.board.run import run

        show.show(run(best, board), "the program", show.console(), [])
    sys.exit(0 if good else 1)
