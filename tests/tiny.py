"""Small models and a small tokenizer, made in a second or so, that behave like trained ones where it matters.

A fresh model's logits are nearly flat, its biases zero and its norms one, so that most mistakes of an exporter would not show.
Here every parameter is random and logits have a standard deviation of 1.6, as a trained model's have. Embeddings are small
beside what the blocks add, or a tied head would see little but the token itself, and a mistake inside a block would hide.
"""

from pathlib import Path

import torch

from pipeline.core.files import sha256, write_json, write_text
from pipeline.data.tokenizer import train
from pipeline.model import ModelConfig, Transformer
from pipeline.model.checkpoint import save_model

SPECIAL = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>"}
LOGIT_STD = 1.6
CODE = '''"""Blinks a light and reads a sensor."""
from machine import Pin, PWM, I2C, ADC
import time

led = Pin(25, Pin.OUT)
button = Pin(14, Pin.IN, Pin.PULL_UP)


class Motor:
    """A motor behind two pins; speed from -1.0 to 1.0."""

    def __init__(self, forward, backward, freq=1000):
        self.forward = PWM(Pin(forward), freq=freq)
        self.backward = PWM(Pin(backward), freq=freq)

    def set_speed(self, speed):
        duty = int(min(abs(speed), 1.0) * 65535)
        self.forward.duty_u16(duty if speed > 0 else 0)
        self.backward.duty_u16(duty if speed < 0 else 0)

    def stop(self):
        self.set_speed(0)


def read_sensor(pin, samples=8):
    adc = ADC(Pin(pin))
    return sum(adc.read_u16() for _ in range(samples)) // samples


while True:
    led.toggle()
    if not button.value():
        print("pressed at %d ms" % time.ticks_ms())
    time.sleep(0.5)
'''
DOCUMENTS = [
    CODE,
    CODE.replace("Motor", "Servo").replace("speed", "angle"),
    (
        "import network\n\nwlan = network.WLAN(network.STA_IF)\nwlan.active(True)\nwlan.connect('ssid', 'key')\n"
        "while not wlan.isconnected():\n    pass\nprint(wlan.ifconfig())\n"
    ),
    "# Temperatur in °C, तापमान, வெப்பநிலை, তাপমাত্রা, 温度 🌡️\nprint('±0.5 °C')\r\n\tx = 3.14159\r\n",
]


def make_tokenizer(
    folder: Path,
    vocab_size: int = 512,
    split: str = "qwen2",
    special: dict[str, str] = SPECIAL,
    spaced_words: int = 0,
) -> Path:
    """A BPE as the tokenizer stage makes it: folder/tokenizer.json and folder/special_tokens.json; returns `folder`."""
    write_text(folder / "tokenizer.json", train(DOCUMENTS, vocab_size, special, split, spaced_words).to_str())
    write_json(folder / "special_tokens.json", special)
    return folder


def make_model(
    architecture: str = "gpt2",
    vocab_size: int = 512,
    context_length: int = 256,
    d_model: int = 128,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv_heads: int | None = None,
    tie_embeddings: bool = True,
    seed: int = 0,
    bias: bool = True,
) -> Transformer:
    """A model of random weights, scaled as described above, in evaluation mode."""
    torch.manual_seed(seed)
    if architecture != "gpt2" and n_kv_heads is None:
        n_kv_heads = n_heads // 2
    model = Transformer(
        ModelConfig(
            architecture,
            vocab_size,
            context_length,
            d_model,
            n_layers,
            n_heads,
            n_kv_heads or n_heads,
            4 * d_model if architecture == "gpt2" else 2 * d_model,
            tie_embeddings,
            bias=bias,
            conv_layers=tuple(range(0, n_layers, 2)) if architecture == "lfm2" else (),
        )
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.normal_(1.0, 0.1)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            else:
                parameter.normal_(0.0, 0.2 if "embd" in name else parameter.shape[1] ** -0.5)
        scale = LOGIT_STD / model(torch.randint(vocab_size, (4, 64))).std()
        model.output_norm.weight *= scale
        if architecture == "gpt2" and bias:
            model.output_norm.bias *= scale
    return model


def make_checkpoint(folder: Path, tokenizer: Path, **shape) -> Path:
    """A model of this shape as the train stage leaves it; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(make_model(**shape), sha256(tokenizer / "tokenizer.json"), folder)
    return folder
