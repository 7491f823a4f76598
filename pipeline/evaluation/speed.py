"""How fast one GGUF file runs here, and how much memory it takes: measured in a process of its own, as servers run it.

    python -m pipeline.evaluation.speed models/quantized/Q4_K_M.gguf

A process of its own, because the most memory that a process ever held cannot be told apart for files that share one.
"""

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

THREADS = (1, 2)
PROMPT_TOKENS, NEW_TOKENS = 128, 32
TIMES = 3  # the best of these counts: on a busy machine the others measure the neighbours
ENOUGH_SECONDS = 3  # then no more are tried: two threads that wait for each other may take long


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most memory this process has held; of this program alone, where Linux tells. Some sandboxes, such as gVisor, do not."""
    try:
        if found := re.search(r"^VmHWM:\s*(\d+)", status.read_text(encoding="utf-8"), re.MULTILINE):
            return int(found[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(path: Path) -> dict:
    """prompt and generation, tokens/s by number of threads, and memory, bytes beyond what Python itself takes."""
    from pipeline.export.llama import LlamaFile

    before, found = peak_bytes(), {"prompt": {}, "generation": {}}
    for threads in THREADS:
        with LlamaFile(path, threads=threads, as_served=True) as file:
            new = min(NEW_TOKENS, file.context // 4)  # both must fit the shortest context there may be
            length = min(PROMPT_TOKENS, file.context - new)
            ids = (file.encode("from machine import Pin\n") * length)[:length]
            prompt, generation, started = [], [], time.perf_counter()
            while len(prompt) < TIMES and (not prompt or time.perf_counter() - started < ENOUGH_SECONDS):
                file.forget()
                begun = time.perf_counter()
                file.feed(ids)
                read = time.perf_counter()
                for token in ids[:new]:  # which token it is makes no difference
                    file.feed([token])
                prompt.append(length / (read - begun))
                generation.append(new / (time.perf_counter() - read))
            found["prompt"][str(threads)], found["generation"][str(threads)] = (
                round(max(prompt)),
                round(max(generation)),
            )
    return {**found, "memory": peak_bytes() - before}


def measure(path: Path) -> dict:
    """run() in a process of its own."""
    from pipeline.core.stage import own_environment  # here, as that process measures its memory

    done = subprocess.run(
        [sys.executable, "-m", "pipeline.evaluation.speed", path],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=own_environment(),
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
