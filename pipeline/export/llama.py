"""One GGUF file in llama.cpp, through the low-level binding.

The binding's Llama class keeps the logits of every position it ever saw, prints llama.cpp's log, and turns its reasons for
refusing a file into "Failed to load". Here the log is kept silent and its last errors go into our message.

Numbers are compared with PyTorch, so the cache is float32 and flash attention off: the float16 cache alone would add more
to the divergence than the whole export does.
"""

import ctypes
from collections import deque
from pathlib import Path

import llama_cpp
import numpy as np

from pipeline.core.errors import UserError

ERROR = 4  # ggml_log_level
F32 = 0  # ggml_type
FLASH_ATTENTION_OFF = 0  # llama_flash_attn_type
# llama.cpp's threads wait for each other by spinning: on a busy machine two are 4 to 14 times slower than one at these sizes, and the
# quantize stages run side by side.
THREADS = 1
AT_ONCE = (
    512  # tokens of a text that run together, as servers have it: without flash attention they take that times the
)
# context of memory for each head, so a context of 100,000 at once would take more than there is
PROMPT = "from machine import Pin\n"
REPEAT_LAST_N = 64  # tokens back that repeat_penalty looks, Ollama's default

said: deque[tuple[int, str]] = deque(maxlen=10_000)


@llama_cpp.llama_log_callback
def _listen(level: int, text: bytes, _) -> None:
    said.append((level, text.decode("utf-8", "replace")))


def listen() -> None:
    """Silences llama.cpp and forgets what it said before. The binding sets its own listener when imported, hence before each use."""
    llama_cpp.llama_log_set(_listen, ctypes.c_void_p(0))
    said.clear()


def reason() -> str:
    """llama.cpp's last errors, in one line."""
    return "; ".join([text.strip() for level, text in said if level == ERROR][-3:]) or "it gave no reason"


def check_magic(path: Path) -> None:
    """Raises UserError where `path` is missing or no GGUF file at all."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    if magic != b"GGUF":
        raise UserError(f"{path}: no GGUF file: it begins with {magic!r}")


class LlamaFile:
    """A GGUF file opened by llama.cpp; a context manager.

    `context` is the most tokens that logits() and generate() take, by default and at most what the model was trained on. With `vocab_only`
    it reads no weights and can only encode and decode. Messages call it `name`, for files that do not have theirs yet. Raises
    UserError, with llama.cpp's reason, for a file that it refuses. With `as_served` the cache is float16 and flash attention on where
    llama.cpp thinks fit, as servers run it.
    """

    def __init__(
        self,
        path: Path,
        context: int | None = None,
        vocab_only: bool = False,
        threads: int = THREADS,
        name: str | None = None,
        as_served: bool = False,
    ):
        check_magic(path)
        self.name, self.ctx, self.pieces = name or str(path), None, {}
        listen()
        options = llama_cpp.llama_model_default_params()
        options.vocab_only = vocab_only
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise UserError(f"{self.name}: llama.cpp refuses this file: {reason()}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.eos = llama_cpp.llama_vocab_eos(self.vocab)
        if not vocab_only:
            trained = llama_cpp.llama_model_n_ctx_train(self.model)
            self.context = min(context or trained, trained)
            options = llama_cpp.llama_context_default_params()
            options.n_ctx = options.n_batch = self.context
            options.n_ubatch = min(self.context, AT_ONCE)
            options.n_threads = options.n_threads_batch = threads
            if not as_served:
                options.type_k = options.type_v = F32
                options.flash_attn_type = FLASH_ATTENTION_OFF
            self.ctx = llama_cpp.llama_init_from_model(self.model, options)
            if not self.ctx:
                self.close()
                raise UserError(f"{self.name}: llama.cpp cannot run this file: {reason()}")

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self.ctx:
            llama_cpp.llama_free(self.ctx)
        if self.model:
            llama_cpp.llama_model_free(self.model)
        self.ctx = self.model = None

    # --- text ---------------------------------------------------------------------------------------------------------

    def encode(self, text: str, as_prompt: bool = False, special: bool = False) -> list[int]:
        """Token ids of `text`: nothing is added but what the model wants at the beginning of a prompt, with `as_prompt`, and the text of
        a special token in it is ordinary text but with `special`."""
        raw = text.encode()
        room = len(raw) + 8  # no token is shorter than a byte
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), ids, room, as_prompt, special)
        assert count >= 0, f"llama_tokenize: {count}"
        return ids[:count]

    def decode(self, ids: list[int]) -> bytes:
        """The bytes of `ids`, piece by piece as servers stream them; special tokens give none.

        llama_detokenize() would for some split patterns also take the blank out of " ." and " ,".
        """
        return b"".join(map(self.piece, ids))

    def piece(self, token: int) -> bytes:
        """The bytes of one token, none for a special one."""
        if token not in self.pieces:
            length = -1
            while length < 0:  # a negative answer is the room it wants
                buffer = ctypes.create_string_buffer(max(256, -length))
                length = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
            self.pieces[token] = buffer.raw[:length]
        return self.pieces[token]

    def chat(self, message: str) -> str | None:
        """The prompt that the file's own chat template makes of a person's message; None where the file has none.

        Raises UserError for a template that cannot be rendered.
        """
        template = llama_cpp.llama_model_chat_template(self.model, None)
        if not template:
            return None
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def special(token: int) -> str:
            return llama_cpp.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace") if token >= 0 else ""

        def refuse(reason: str):
            raise TemplateError(reason)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        # the tokenizer may put the token of the beginning there itself
        bos = "" if llama_cpp.llama_vocab_get_add_bos(self.vocab) else special(llama_cpp.llama_vocab_bos(self.vocab))
        try:
            return environment.from_string(template.decode()).render(
                messages=[{"role": "user", "content": message}],
                add_generation_prompt=True,
                bos_token=bos,
                eos_token=special(self.eos),
                raise_exception=refuse,
                strftime_now=lambda _: "",
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise UserError(f"{self.name}: its chat template cannot be used: {type(error).__name__}: {error}") from None

    # --- numbers ------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Empties the cache, so that the next tokens stand at position 0."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.ctx), True)

    def feed(self, ids: list[int], every: bool = False) -> np.ndarray:
        """Logits (T, vocab) after each of the T `ids` where `every` is set, else (1, vocab) after the last, in float32.

        The array is llama.cpp's own memory, good until the next call.
        """
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        batch = llama_cpp.llama_batch_get_one(tokens, len(ids))
        flags = (ctypes.c_int8 * len(ids))(*[1] * len(ids))
        if every:
            batch.logits = ctypes.cast(flags, type(batch.logits))
        if llama_cpp.llama_decode(self.ctx, batch):
            raise UserError(f"{self.name}: llama.cpp cannot run {len(ids)} tokens of this file: {reason()}")
        rows = len(ids) if every else 1
        logits = llama_cpp.llama_get_logits(self.ctx) if every else llama_cpp.llama_get_logits_ith(self.ctx, -1)
        return np.ctypeslib.as_array(logits, shape=(rows, self.vocab_size))

    def logits(self, ids: list[int]) -> np.ndarray:
        """Logits (T, vocab) of a document that begins with the T `ids`, T at most `context`."""
        self.forget()
        return self.feed(ids, every=True)

    def generate(self, ids: list[int], max_new_tokens: int, sampler=None) -> list[int]:
        """Continues `ids`, greedily without one of llama.cpp's samplers, up to its end or a full context; returns the new ids."""
        self.forget()
        new, step = [], list(ids)
        while len(new) < max_new_tokens and len(ids) + len(new) < self.context:
            logits = self.feed(step)[0]
            if not np.isfinite(logits).all():
                raise UserError(f"{self.name}: the model's logits are not finite, so it cannot complete a prompt")
            token = int(logits.argmax()) if sampler is None else llama_cpp.llama_sampler_sample(sampler, self.ctx, -1)
            if llama_cpp.llama_vocab_is_eog(self.vocab, token):  # eos, or what else ends an answer of models that chat
                break
            new.append(token)
            step = [token]
        return new

    def complete(self, prompt: str = PROMPT, max_new_tokens: int = 32) -> str:
        """The greedy continuation of `prompt`, as text."""
        return self.decode(self.generate(self.encode(prompt), max_new_tokens)).decode("utf-8", "replace")

    def sample(self, ids: list[int], max_new_tokens: int, temperature: float, seed: int) -> list[int]:
        """As `generate`, drawn at a temperature, with nothing that bends the choice otherwise."""
        sampler = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for part in (llama_cpp.llama_sampler_init_temp(temperature), llama_cpp.llama_sampler_init_dist(seed)):
            llama_cpp.llama_sampler_chain_add(sampler, part)
        try:
            return self.generate(ids, max_new_tokens, sampler)
        finally:
            llama_cpp.llama_sampler_free(sampler)

    def answer(
        self,
        prompt: str,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        top_k: int,
        repeat_penalty: float,
        seed: int,
    ) -> str:
        """A continuation of `prompt` as a server draws it with these settings; the same seed gives the same one."""
        sampler, ids = (
            llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params()),
            self.encode(prompt),
        )
        for part in (
            llama_cpp.llama_sampler_init_penalties(self.vocab_size, REPEAT_LAST_N, repeat_penalty, 0, 0),
            llama_cpp.llama_sampler_init_top_k(top_k),
            llama_cpp.llama_sampler_init_top_p(top_p, 1),
            llama_cpp.llama_sampler_init_temp(temperature),
            llama_cpp.llama_sampler_init_dist(seed),
        ):
            llama_cpp.llama_sampler_chain_add(sampler, part)
        for token in ids:  # the prompt is not to be repeated either
            llama_cpp.llama_sampler_accept(sampler, token)
        try:
            return self.decode(self.generate(ids, max_new_tokens, sampler)).decode("utf-8", "replace")
        finally:
            llama_cpp.llama_sampler_free(sampler)
