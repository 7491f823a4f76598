"""Reads tasks/, and tells all that is wrong in it: each fault with file, entry and key.

pydantic sees what a key may hold (tasks.py); here is seen that entries fit one another: no slot and no phrase is unknown, no device is missing,
and a whole request tells all that its program needs.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.core.config import explain, read_yaml
from pipeline.core.errors import UserError, suggestion
from pipeline.core.schema import File
from pipeline.curriculum import grammar, values
from pipeline.curriculum.tasks import Asked, Cannot, Curriculum, DeviceKind, Form, Rule, Skill, fits, named, parsed

FOLDER = Path("tasks")
WORDS, DEVICES, FORMS, RULES, OFTEN = "words.yaml", "devices", "forms.yaml", "rules.yaml", "often.yaml"
REQUESTS = "requests"
NEEDED = {
    "action": ["do"],
    "state": ["do", "undo", "off"],
    "condition": ["if_", "test"],
    "program": ["do"],
    "reading": ["of", "above", "below", "levels", "code"],
    "form": ["do"],
    "rule": ["do", "is_", "loop"],
}  # or `is` for `do`


def validated(schema: type[File], content: Any, place: str) -> tuple[Any, list[str]]:
    """(the entry, or None, and what is wrong with it)"""
    try:
        return schema.model_validate(content), []
    except ValidationError as error:
        return None, [f"{place}: {explain(schema, fault)}" for fault in error.errors()]


def templates(entry: Skill | Form | Rule) -> Iterator[tuple[str, str]]:
    """(key, template) of all its words."""
    for key in ("do", "is_", "short", "aloud", "tell", "undo", "if_", "while_", "of", "above", "below"):
        for template in getattr(entry, key, []):
            yield key.rstrip("_"), template


def misfit(name: str, arguments: Any) -> str | None:
    """What the arguments of a kind of value, or of `text`, must be, where these do not fit."""
    wanted = inspect.signature(values.text if name == "text" else values.KINDS[name])
    bound = [None, None] if name == "text" else [None]  # which a task does not give
    try:
        if isinstance(arguments, list):
            wanted.bind(*bound, *arguments)
            return None
    except TypeError:
        pass
    return f"[{', '.join(list(wanted.parameters)[len(bound) :])}]"


def slot_faults(place: str, slots: dict[str, Any], devices: dict, words: dict) -> Iterator[str]:
    """What is wrong with slots: a device that there is not, a kind of value with other arguments than it takes."""
    for slot, given in slots.items():
        where = f"{place}: slots.{slot}"
        if isinstance(given, (str, list)):
            for each in [given] if isinstance(given, str) else given:
                if each not in devices:
                    yield f"{where}: no device {each!r} in {FOLDER / DEVICES}{suggestion(each, devices)}"
        elif isinstance(given, dict) and len(given) == 1:
            ((kind, arguments),) = given.items()
            if kind == "phrase":
                if not isinstance(arguments, list) or len(arguments) != 1 or arguments[0] not in words:
                    yield f"{where}: phrase: must be a list of one phrase of {WORDS}, not {arguments}"
            elif kind != "text" and kind not in values.KINDS:
                yield f"{where}: no kind of value {kind!r}{suggestion(kind, [*values.KINDS, 'text', 'phrase'])}"
            elif wanted := misfit(kind, arguments):
                yield f"{where}: {kind}: must be {wanted}, not {arguments}"
        else:
            yield f"{where}: must be a device, or a kind of value with its arguments such as {{time: [0.1, 2]}}"


def faults(place: str, entry: Skill | Form | Rule, devices: dict, words: dict) -> Iterator[str]:
    """What is wrong with a skill or a form that pydantic cannot see."""
    yield from slot_faults(place, entry.slots, devices, words)
    known = {**entry.slots, **({} if isinstance(entry, Skill) else entry.takes)}
    for key, template in templates(entry):
        for name, _ in grammar.SLOT.findall(template):
            if name not in known:
                yield f"{place}: {key}: no slot {{{name}}}{suggestion(name, known)}"
        for name in grammar.SYMBOL.findall(template):
            if name not in words:
                yield f"{place}: {key}: no phrase <{name}> in {WORDS}{suggestion(name, words)}"
    kind = entry.kind if isinstance(entry, Skill) else type(entry).__name__.lower()
    for key in NEEDED[kind]:
        if not getattr(entry, key) and not (key == "do" and entry.is_):
            yield f"{place}: {key.rstrip('_')}: missing, which a {kind} needs"


def asked_faults(asked: Asked, forms: dict, skills: dict, devices: dict, words: dict) -> Iterator[str]:
    """What is wrong with whole requests: a form or a skill that there is not, a slot that is unknown, or one that is never said."""
    form_name, names = parsed(asked.of)
    if form_name and form_name not in forms:
        yield f"of: no form {form_name!r}{suggestion(form_name, forms)}"
    elif unknown := next((name for name in names if name not in skills), None):
        yield f"of: no skill {unknown!r}{suggestion(unknown, skills)}"
    elif not form_name and skills[asked.of].kind != "program":
        yield f"of: {asked.of} is of kind {skills[asked.of].kind}, so it stands in a form: once({asked.of})"
    elif form_name and len(names) != len(forms[form_name].takes):
        yield f"of: {form_name} takes {len(forms[form_name].takes)} skills, not {len(names)}"
    elif form_name and (
        misfits := [
            f"{name} is no {role}"
            for name, role in zip(names, forms[form_name].takes.values(), strict=True)
            if not fits(skills[name], role)
        ]
    ):
        yield f"of: {'; '.join(misfits)}, which {form_name} takes there"
    else:
        of = [*(skills[name] for name in names), *([forms[form_name]] if form_name else [])]
        slots = named(each.slots for each in of)
        needed = {name for name, is_said in named(map(said_slots, of)).items() if is_said}
        for template in asked.say:
            yield from (
                f"{fault}, in {template!r}" for fault in template_faults(template, slots, needed, devices, words)
            )


def said_slots(entry: Skill | Form) -> dict[str, bool]:
    """Of each slot, whether a whole request must say it: what no clause says is not for the program, such as what a sensor measures, and what
    stands in `tell` follows by itself."""
    said = {name for key, text in templates(entry) if key != "aloud" for name, _ in grammar.SLOT.findall(text)}
    told = {name for text in getattr(entry, "tell", []) for name, _ in grammar.SLOT.findall(text)}
    return {name: name in said - told for name in entry.slots}


def template_faults(
    template: str, slots: dict[str, Any], needed: set[str], devices: dict, words: dict
) -> Iterator[str]:
    """What is wrong with one whole request. `needed` are the slots that must be said."""
    said = grammar.SLOT.findall(template)
    mentioned = {name for name, _ in said}
    if template.count("*") % 2:
        yield "a star that no other follows"
    for name in mentioned - {*slots}:
        yield f"no slot {{{name}}}{suggestion(name, slots)}"
    for name in grammar.SYMBOL.findall(template):
        if name not in words:
            yield f"no phrase <{name}> in {WORDS}{suggestion(name, words)}"
    for name in needed - mentioned:
        yield f"{{{name}}} is not said"
    for name in mentioned & {*slots}:
        kinds = (
            [
                devices[each]
                for each in ([slots[name]] if isinstance(slots[name], str) else slots[name])
                if each in devices
            ]
            if not isinstance(slots[name], dict)
            else []
        )
        attributes = {attribute for slot, attribute in said if slot == name}
        if kinds and not any(attributes <= {"", "short", "noun", "it", *kind.pins, *kind.slots} for kind in kinds):
            yield f"{{{name}}} has {' and '.join(sorted({*kinds[0].pins, *kinds[0].slots}))}, not {' and '.join(sorted(attributes))}"
        elif kinds and "" not in attributes and not any({*kind.pins, *kind.slots} <= attributes for kind in kinds):
            missing = sorted({*kinds[0].pins, *kinds[0].slots} - attributes)
            yield f"{{{name}}}: {', '.join(missing)} not said"


def read_words(path: Path) -> dict[str, list[str]]:
    """Name -> phrases. Raises UserError where the file holds something else."""
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(
        isinstance(v, list) and all(isinstance(p, str) for p in v) for v in content.values()
    ):
        raise UserError(f"{path}: must map names to lists of phrases")
    return content


def read_entries(path: Path, wrong: list[str]) -> Iterator[tuple[int, dict]]:
    """(number, entry) of a file's list, counted from 1; what is wrong with the file is added to `wrong`."""
    entries = read_yaml(path)
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        yield from enumerate(entries, 1)
    else:
        wrong.append(f"{path}: must be a list of entries")


def read_often(path: Path, intents: set[str]) -> tuple[dict[str, float], list[str]]:
    """(intent -> how often it is asked for, what is wrong with it)"""
    content = read_yaml(path)
    if not isinstance(content, dict):
        return {}, [f"{path}: must map intents to numbers"]
    wrong = [
        f"{path}: {name}: no skill has this intent{suggestion(str(name), intents)}"
        for name in content
        if name not in intents
    ]
    wrong += [
        f"{path}: {name}: must be a number above 0, not {value!r}"
        for name, value in content.items()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0
    ]
    return content, wrong


def load(folder: Path = FOLDER, requests: Path | None = None) -> Curriculum:
    """Reads words, devices, forms, skills and whole requests under `folder`; of the last only the file `requests`, where that is given. Raises
    UserError with all faults, one a line, each with file, entry and key."""
    words, wrong = read_words(folder / WORDS), []
    devices, forms, rules, skills, cannot = {}, {}, {}, {}, []
    for path in sorted(folder.rglob(f"{DEVICES}/*.yaml")):
        entries = read_yaml(path)
        if not isinstance(entries, dict):
            wrong.append(f"{path}: must map names to devices")
            continue
        for name, entry in entries.items():
            if name in devices:
                wrong.append(f"{path}: {name}: there is another device of this name")
            devices[name], faulty = validated(DeviceKind, entry, f"{path}: {name}")
            wrong += [
                *faulty,
                *(slot_faults(f"{path}: {name}", devices[name].slots, {}, words) if devices[name] else []),
            ]
    for path in sorted(folder.rglob("*.yaml")):
        if path.name in (WORDS, OFTEN) or path.parent.name in (DEVICES, REQUESTS):
            continue
        for number, entry in read_entries(path, wrong):
            place = f"{path}: {entry.get('name', f'entry {number}')}"
            schema = {FORMS: Form, RULES: Rule}.get(path.name) or (Cannot if "answer" in entry else Skill)
            made, faulty = validated(schema, entry, place)
            wrong += faulty
            if made is None:
                continue
            if schema is Cannot:
                wrong += slot_faults(place, made.slots, devices, words)
                cannot.append(made)
                continue
            known = {Form: forms, Rule: rules}.get(schema, skills)
            if made.name in known:
                wrong.append(f"{place}: name: there is another of this name")
            known[made.name] = made
            wrong += faults(place, made, devices, words)
    asked = []
    for path in [requests] if requests else sorted(folder.rglob(f"{REQUESTS}/*.yaml")):
        for number, entry in read_entries(path, wrong):
            place = f"{path}: {entry.get('of', f'entry {number}')}"
            made, faulty = validated(Asked, entry, place)
            wrong += faulty or [f"{place}: {fault}" for fault in asked_faults(made, forms, skills, devices, words)]
            if made:
                asked.append(made)
    often: dict[str, float] = {}
    for path in sorted(folder.rglob(OFTEN)):
        more, faulty = read_often(path, {skill.intent for skill in skills.values()})
        often, wrong = often | more, wrong + faulty
    if wrong:
        raise UserError("\n".join(wrong))
    return Curriculum(words, devices, forms, rules, skills, cannot, asked, often)
