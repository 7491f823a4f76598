"""Shows a long build as one line with time left.

Compilers say nothing for minutes and then everything at once. Ninja numbers its steps, "[28/140] g++ ...", and that is
enough to tell a person how far it is. Standard library only: this runs before anything is installed.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

STEP = re.compile(r"\[(\d+)/(\d+)\] ")


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run(command: list[str], label: str, log: Path, env: dict | None = None, cwd: Path | None = None) -> None:
    """Runs `command`, showing its last "[done/all]" step with time left, and everything it printed in `log`.

    Exits with the command's status and the end of the log when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stderr.isatty()
    began, first_step, shown = time.monotonic(), None, 0.0
    print(f"{label}  (log: {log})", file=sys.stderr, flush=True)
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            encoding="utf-8",
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdout
        for line in child.stdout:
            out.write(line)
            step, now = STEP.search(line), time.monotonic()
            if not step or now - shown < (0.5 if live else 20):
                continue
            done, total = map(int, step.groups())
            first_step = first_step or (now, done)
            # The first steps are no measure of speed; nothing is said about the time until ten are done.
            rate = (done - first_step[1]) / max(now - first_step[0], 1e-9)
            left = f"{clock((total - done) / rate)} left" if done - first_step[1] >= 10 else "measuring"
            text = f"  compiling {done}/{total}, {clock(now - began)} gone, {left}"
            print(f"\r\033[K{text}" if live else text, end="" if live else "\n", file=sys.stderr, flush=True)
            shown = now
        status = child.wait()
    if live and first_step:
        print("\r\033[K", end="", file=sys.stderr)
    if status:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
        sys.exit(f"{tail}\nerror: {' '.join(command[:4])} ... failed with status {status}; the whole log is {log}")
    print(f"  done in {clock(time.monotonic() - began)}", file=sys.stderr, flush=True)
