"""Puts a GGUF file into Ollama under a name, with the serving config's parameters, so that the name never answers badly.

What Ollama holds is asked of Ollama, never remembered: file, parameters, template and licence. Where all are as wanted nothing is
done. The file is told by a line under the licence, since Ollama's own digest may be another: from 0.32 it rewrites each GGUF
on its way in, which gives the same bytes only where its llama.cpp is the one that wrote them.

Where something differs, the model is made under another name, must answer a prompt there, must go on with the validation prompts
as llama.cpp does with the same file, and only then takes the real name by a copy, which is a switch of names: files are shared.
Until that moment the old model serves.

"As llama.cpp does" means the same tokens for a text and the same greedy answers, with the cache and flash attention that servers
use. Ollama may bring another build of llama.cpp, whose sums come out a little different; where two tokens
are as good as equal to the model that flips the choice. So where the texts part, llama.cpp is asked how much worse the other token
is, and only a difference that rounding can make (TIE) is let pass. After such a place the rest of that answer proves nothing.
"""

import ast
import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import NotDone, TemporaryError, UserError
from pipeline.core.files import sha256
from pipeline.core.prompt import as_served
from pipeline.core.schema import Serving

CONNECT_SECONDS, ANSWER_SECONDS = 5, 300
SMOKE_TOKENS = 24  # of an answer: Ollama breaks off where a model says the same token more than 30 times
TIE = 0.05  # in logits: float16 sums of one build against another's differ by about a hundredth
TRIAL = "-unfinished"  # ends the tag under which a model is tried
FILE_LINE = "\nGGUF file sha256:"


@dataclass(frozen=True)
class Imported:
    name: str  # in Ollama
    digest: str  # sha256 of the GGUF file, in hexadecimal
    changed: bool  # False: Ollama had it so already
    reason: str  # what differed
    answer: str  # to the smoke prompt; empty where nothing changed
    proof: str  # how its answers were held against llama.cpp's; empty where nothing changed


def address(host: str | None = None) -> str:
    """The URL of `host`, else of OLLAMA_HOST, else of Ollama's usual port here, as Ollama's own client reads them.

    Raises UserError where it is none.
    """
    given = host or os.environ.get("OLLAMA_HOST")
    try:
        from ollama._client import _parse_host  # the one place that knows how people write OLLAMA_HOST

        return _parse_host(given)
    except ValueError as error:
        raise UserError(f"OLLAMA_HOST: {given!r} is no address ({error}); 127.0.0.1:11434 is one") from None


def is_reachable(host: str | None = None) -> str | None:
    """The version of the Ollama server there, or None when none answers."""
    import httpx

    try:
        answer = httpx.get(f"{address(host)}/api/version", timeout=CONNECT_SECONDS)
        return answer.json()["version"] if answer.is_success else None
    except (httpx.HTTPError, ValueError, KeyError):
        return None


@contextmanager
def connected(host: str | None, gguf: Path):
    """Yields a client; what goes wrong in the block becomes one UserError that says what to do about `gguf` or the server.

    A TemporaryError where the server went away or its disk is full: then nothing was said about `gguf`.
    """
    import httpx
    import ollama

    url = address(host)
    try:
        with ollama.Client(url, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)) as client:
            yield client
    except (ConnectionError, httpx.HTTPError, ollama.ResponseError) as error:
        version = is_reachable(host)
        if version is None:
            raise TemporaryError(
                f"Ollama does not answer at {url}; start it (ollama serve), or set OLLAMA_HOST to where it runs"
            ) from error
        if not isinstance(error, ollama.ResponseError):
            raise TemporaryError(
                f"Ollama {version} at {url} broke off ({type(error).__name__}: {error}); it answers again, so try again. "
                "Nothing was published"
            ) from error
        kind = TemporaryError if disk_is_full(error.error) else UserError
        raise kind(f"Ollama {version} at {url}: {explained(error.error, gguf)}. Nothing was published") from error


def disk_is_full(said: str) -> bool:
    return os.strerror(errno.ENOSPC).lower() in said.lower()


def explained(said: str, gguf: Path) -> str:
    """Ollama's words, after ours where we know what is meant."""
    if disk_is_full(said):
        return f"its disk is full; free some space where OLLAMA_MODELS lies and run again ({said})"
    if "llama-quantize failed" in said:
        return f"it cannot rewrite {gguf} as it does on import: its disk is full, or the file is damaged; its own log says which ({said})"
    if "pre-tokenizer" in said or "unknown model architecture" in said:
        return f"this version does not know the tokenizer or architecture of {gguf}; a newer Ollama does ({said})"
    return f"it refuses {gguf}; if the file was damaged, `dvc repro --force` on its stage makes it anew ({said})"


def settings(serving: Serving) -> dict:
    return serving.parameters.model_dump()


def wanted(serving: Serving, digest: str, license_text: str) -> dict:
    return {"file": digest, "template": serving.template, "license": license_text, **settings(serving)}


def held(client, name: str) -> dict | None:
    """The same about the model that Ollama holds, or None where it holds no such name."""
    import ollama

    try:
        shown = client.show(name)
    except ollama.ResponseError as error:
        if error.status_code == 404:
            return None
        raise
    license_text, _, file = (shown.license or "").partition(FILE_LINE)
    facts: dict[str, Any] = {"file": file.strip(), "template": shown.template, "license": license_text}
    for line in (shown.parameters or "").splitlines():
        key, value = line.split(maxsplit=1)
        value = ast.literal_eval(value)  # Go's notation of numbers and strings is Python's too
        if key == "stop":
            facts.setdefault(key, []).append(value)
        else:
            facts[key] = value
    return facts


def difference(old: dict | None, new: dict) -> str:
    """Says in a few words what `new` changes, empty when nothing."""
    if old is None:
        return "new in Ollama"
    changes = []
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            short = key in ("file", "license", "template")
            changes.append(key if short else f"{key} {old.get(key, 'unset')} -> {new.get(key, 'unset')}")
    return ", ".join(changes)


def discard(client, name: str) -> None:
    import ollama

    try:
        client.delete(name)
    except ollama.ResponseError as error:
        if error.status_code != 404:
            raise


def parting(file, prompt: list[int], new: list[int], text: str) -> float | None:
    """How much less likely than llama.cpp's own token, in logits, `text` is where it leaves llama.cpp's greedy continuation `new` of `prompt`.

    None where it does not leave it, infinity where no token could have led there.
    """

    def own(tokens: list[int]) -> str:  # a character may be cut in two by the last token
        return file.decode(tokens).decode("utf-8", "replace").rstrip("\ufffd")

    for place, token in enumerate([*new, file.eos]):
        if token != file.eos and text.startswith(own(new[: place + 1])):
            continue
        rest = text[len(own(new[:place])) :].encode()
        if token == file.eos and not rest:
            return None
        logits = file.logits(prompt + new[:place])[-1]
        others = [
            logits[i]
            for i in range(file.vocab_size)
            if i != token and (piece := file.piece(i)) and rest.startswith(piece)
        ]
        others += [] if rest else [logits[file.eos]]
        return float(logits[token] - max(others)) if others else float("inf")
    return None


def check_answers(client, trial: str, gguf: Path, prompts: list[str], num_ctx: int, read: list[int]) -> str:
    """Holds the greedy answers of Ollama's model `trial` against llama.cpp's of the same file; returns a sentence on the outcome.

    `read` is a text in Ollama's own tokens, which llama.cpp must cut alike.

    Raises UserError with the first that differs by more than rounding.
    """
    from pipeline.export.llama import LlamaFile

    tokens, ties = 0, 0
    with LlamaFile(gguf, as_served=True) as file:
        if (cut := file.encode(file.decode(read).decode())) != read:
            raise UserError(
                f"{gguf}: Ollama cuts text into other tokens than llama.cpp, {read[:16]}... instead of {cut[:16]}..., so nothing was "
                "published; another version of Ollama may do it right"
            )
        for prompt in prompts:
            ids = file.encode(prompt)
            count = min(SMOKE_TOKENS, num_ctx - len(ids) - 1)
            if count < 1:  # does not fit the context it is served with
                continue
            new = file.generate(ids, count)
            # As it is, without the template, and with nothing that bends the choice.
            said = client.generate(
                trial,
                prompt,
                raw=True,
                options={"temperature": 0, "repeat_penalty": 1.0, "num_predict": count, "stop": []},
            ).response
            tokens += len(new)
            if said == (expected := file.decode(new).decode("utf-8", "replace")):
                continue
            if (worse := parting(file, ids, new, said)) is None or worse > TIE:
                raise UserError(
                    f"{gguf}: Ollama goes on otherwise than llama.cpp with this very file, so nothing was published: after "
                    f"{prompt!r} it says {said!r}, llama.cpp {expected!r}. Another version of Ollama may do it right"
                )
            ties += 1
    return f"greedy answers to {len(prompts)} prompts ({tokens} tokens) are llama.cpp's" + (
        f", but for {ties} that part where two tokens are within {TIE} logits of each other" if ties else ""
    )


def prove(client, name: str, serving: Serving, gguf: Path, prompts: list[str]) -> tuple[str, str]:
    """Lets Ollama's model `name`, made from `gguf`, answer; returns the answer to the smoke prompt and how it was held against llama.cpp's.

    Raises UserError when it answers nothing, or otherwise than llama.cpp.
    """
    # Greedy, so that luck has no part in it.
    said = client.generate(name, serving.smoke_prompt, options={"temperature": 0, "num_predict": SMOKE_TOKENS})
    if not said.response.strip():
        raise UserError(
            f"{gguf}: answers nothing to serving's smoke_prompt {serving.smoke_prompt!r}, so everything was left as it was; "
            "train longer, or choose a prompt in configs/serving/ that the model can go on with"
        )
    prompts = [as_served(serving.template, serving.smoke_prompt), *prompts]
    return said.response, check_answers(
        client, name, gguf, prompts, serving.parameters.num_ctx, list(said.context or [])
    )


def import_model(
    serving: Serving,
    gguf: Path,
    name: str,
    license_text: str,
    host: str | None = None,
    prompts: list[str] | None = None,
    ask: bool = False,
) -> Imported:
    """Makes Ollama serve `gguf` as `name`, and does nothing where it does so already.

    Raises UserError when Ollama cannot be reached, refuses, the model answers nothing to serving.smoke_prompt, or it answers that or
    one of `prompts` otherwise than llama.cpp; the name then stands as it stood before. With `ask` NotDone in place of doing anything.
    """
    if not gguf.exists():
        raise UserError(f"{gguf}: no such file; build it first: dvc repro")
    digest = sha256(gguf)
    base, _, tag = name.partition(":")
    trial = f"{base}:{tag or 'latest'}{TRIAL}"
    with connected(host, gguf) as client:
        reason = difference(held(client, name), wanted(serving, digest, license_text))
        if ask and reason:
            raise NotDone
        discard(client, trial)  # a killed import may have left it
        if not reason:
            return Imported(name, digest, False, f"Ollama holds this file with these parameters as {name}", "", "")
        try:
            client.create(
                trial,
                files={gguf.name: client.create_blob(gguf)},
                template=serving.template,
                parameters=settings(serving),
                license=f"{license_text}{FILE_LINE} {digest}",
            )
            answer, proof = prove(client, trial, serving, gguf, prompts or [])
            client.copy(trial, name)
        finally:
            discard(client, trial)
    return Imported(name, digest, True, reason, answer, proof)


def modelfile(serving: Serving, gguf_file_name: str, license_text: str) -> str:
    """The same import as text, for those who prefer `ollama create NAME -f Modelfile` beside the GGUF file."""
    lines = [f"FROM ./{gguf_file_name}", f'TEMPLATE """{serving.template}"""']
    for key, value in settings(serving).items():
        lines += [
            f'PARAMETER {key} """{each}"""' if isinstance(each, str) else f"PARAMETER {key} {each}"
            for each in (value if isinstance(value, list) else [value])
        ]
    if license_text:
        lines.append(f'LICENSE """{license_text}"""')
    return "\n".join(lines) + "\n"
