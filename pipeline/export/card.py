"""The model card: what a stranger must know before using the model, from measured numbers only.

Every figure comes from a file that a stage wrote; nothing is said of what was not measured but that it was not.
"""

from pipeline.core import licenses


def table(headings: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def front_matter(licence: str) -> str:
    """The head that model hubs read; they know one licence a model, so several are named as another."""
    said = (
        f"license: {licence.lower()}"
        if len(licenses.keys(licence)) == 1
        else f"license: other\nlicense_name: {licence}"
    )
    return f"---\n{said}\nlanguage: [code]\ntags: [micropython, code-completion]\npipeline_tag: text-generation\n---"


def card(
    name: str,
    quant: str,
    model: dict,
    tokenizer: dict,
    splits: dict[str, list[dict]],
    trained: dict,
    evaluated: dict,
    exported: dict,
    assessed: dict,
    examined: dict,
    copied: dict,
    context: int,
) -> str:
    """Markdown. `quant` is the served type, `model` the keys of models/trained/config.json, `tokenizer` those of the tokenizer config,
    `splits` origin.corpus_sources() of each split, then the contents of metrics/{train,evaluate,export,assess,exam,memorisation}.json, and
    the served context.
    """
    m, types = model, assessed["types"]
    licence = licenses.joined(source["license"] for source in splits["train"])
    heads = f"{m['n_heads']} heads" + (
        f" ({m['n_kv_heads']} for keys and values)" if m["n_kv_heads"] != m["n_heads"] else ""
    )
    taught = {source["source"] for source in splits["train"]}
    divided = sorted(
        {source["source"] for split, held in splits.items() for source in held if split != "train"} & taught
    )
    sides = "Whole packages stand on one side of the split" + (
        f", but for {', '.join(divided)}: there it is whole groups of files, which are a "
        "subfolder or files that share most of their lines"
        if divided
        else ""
    )
    training_bytes = sum(source["bytes"] for source in splits["train"])
    compiled = types[quant]["compiles"]
    sources = [
        [
            split,
            f"{s['source']} {s['version'] or '(local)'}",
            s["license"],
            s["documents"],
            f"{s['bytes']:,}",
            f"{s['share']:.1%}",
        ]
        for split, held in splits.items()
        for s in held
    ]
    quants = [
        [
            f"{kind} (served)" if kind == quant else kind,
            f"{t['bytes']:,}",
            f"{t['bits_per_weight']:.2f}",
            f"{t['bits_per_byte']:.4f}",
            f"{t['change_percent']:+.2f}%",
            f"{t['kl_mean']:.2g}",
            f"{t['same_top_token']:.1%}",
            ", ".join(f"{count} {tensor}" for tensor, count in t["tensors"].items()),
        ]
        for kind, t in types.items()
    ]
    exam = [
        [
            name,
            f"{f['passed']} of {f['tasks']}" if "passed" in f else f"- of {f['tasks']}",
            f"{f['rate']:.1%} ({f['low']:.1%} to {f['high']:.1%})" if "passed" in f else "-",
            f"{f['parse_rate']:.1%}",
            "-" if f["api_rate"] is None else f"{f['api_rate']:.1%} of {f['names']}",
        ]
        for name, f in examined["sets"].items()
    ]
    limits = [
        f"It continues text; it was not trained to follow instructions or to chat. It sees at most {context} tokens.",
        f"It read {training_bytes:,} bytes of code, so all it knows stands in the sources above.",
        (
            "How many of its completions compile was not measured."
            if compiled is None
            else f"{compiled:.0%} of {assessed['prompts']} greedy completions by the served file were accepted by MicroPython's compiler with their prompt. "
            "Compiling is no proof of doing what was meant: read and test what it writes before it drives a motor."
        ),
        f"In {copied['generated_tokens']} tokens that it wrote, the longest passage that stands word for word in its training text is "
        f"{copied['longest_copy_tokens']} tokens ({copied['longest_copy_characters']} characters). The sources' licences apply to what it repeats.",
    ]
    return (
        "\n\n".join(
            [
                front_matter(licence),
                f"# {name}",
                f"A language model of {trained['parameters']:,} parameters that continues MicroPython code, trained from nothing on the "
                "sources below. Made to run on one's own machine in llama.cpp and Ollama.",
                "## Data",
                f"{sides}. Licences of the training text: {licence}.",
                table(["split", "source", "licence", "files", "bytes", "share of its split"], sources),
                "## Tokenizer",
                f"Byte-level BPE of {tokenizer['vocab_size']:,} tokens, split as llama.cpp's `{tokenizer['split_pattern']}`. "
                f"{exported['parity']['tokens_compared']:,} tokens of validation and hostile text were the same in llama.cpp and in `tokenizers`.",
                "## Architecture",
                f"{m['architecture']}, {m['n_layers']} layers of width {m['d_model']}, {heads}, feed-forward width {m['d_ff']}, "
                f"context {m['context_length']} tokens, {'tied' if m['tie_embeddings'] else 'untied'} embeddings. "
                f"True parameter count: {trained['parameters']:,}.",
                "## Training",
                f"{trained['steps']:,} steps, {trained['tokens']:,} tokens; final loss {trained['loss']:.4f}, "
                f"on validation text {trained['val_loss']:.4f} nats per token.",
                "## Evaluation",
                "On text that was held out:",
                table(
                    ["split", "bits per byte", "loss, nats per token"],
                    [[split, f"{f['bits_per_byte']:.4f}", f"{f['loss']:.4f}"] for split, f in evaluated.items()],
                ),
                f"The exported files are the trained model: mean KL to PyTorch float32 is {exported['kl_f32']:.2g} nats for the float32 GGUF, "
                f"{exported['kl_f16']:.2g} for float16.",
                "## Does what it writes run?",
                f"{examined['served']}, the served file, was asked for programs, greedily, and they ran on a simulated board. *people* are requests in the "
                "words of people who build things; *values*, *wordings* and *compositions* leave out what it was taught; *completions* are "
                "beginnings of held-out programs. A request is fulfilled where every check over what the board's pins did says yes; the interval is of 95%.",
                table(
                    ["set", "fulfilled", "rate", "accepted by MicroPython's compiler", "names used that the board has"],
                    exam,
                ),
                *(
                    [
                        f"**{examined['contaminated']} of the tasks stand in its training text, so that much of this says nothing.**"
                    ]
                    if examined["contaminated"]
                    else []
                ),
                "## Files",
                f"Bits per byte, KL and agreement with float16 on {assessed['tokens']:,} held-out tokens. Recommended: {assessed['recommended']}.",
                table(
                    [
                        "type",
                        "bytes",
                        "bits per weight",
                        "bits per byte",
                        "change",
                        "mean KL",
                        "same top token",
                        "tensors really written",
                    ],
                    quants,
                ),
                "## Limits",
                "\n".join(f"- {limit}" for limit in limits),
            ]
        )
        + "\n"
    )
