"""Plain data from outside becomes a struct, or an error that says where, what and what instead."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from syncmon_ext.model.errors import InvalidConfig

T = TypeVar("T")

SHOWN_CHARACTERS: Final = 60  # of a value in a message
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


def decode(data: object, kind: type[T], path: str, *, show_values: bool = True) -> T:
    """``data`` as a ``kind``; ``path`` is where it stands, as in ``tasks.nightly``.

    Without ``show_values`` no value is repeated: it may be a secret in the wrong place. Raises
    InvalidConfig.
    """
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(str(error), data, kind, path, show_values) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest of ``known``, else all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(choices)}" if choices else ""


def shown(value: object) -> str:
    """``value`` as a short text for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def join(path: str, name: str) -> str:
    """``name`` below ``path``."""
    return f"{path}.{name}" if path else name


def _explained(
    said: str, data: object, kind: type[Any], path: str, show_values: bool
) -> InvalidConfig:
    what, _, at = said.partition(" - at `$")
    value = data
    expected: inspect.Type = inspect.type_info(kind)
    for step in _STEP.finditer(at.removesuffix("`")):
        if step["name"] is not None:
            name = step["name"]
            path = join(path, name)
            value = value[name] if isinstance(value, dict) and name in value else None
            expected = _field(expected, name)
        elif step["index"] is not None:
            index = int(step["index"])
            path = f"{path}[{index}]"
            value = value[index] if isinstance(value, list) else None
            expected = _item(expected)
    if found := _UNKNOWN.search(what):
        struct = _part(expected, inspect.StructType)
        known = [field.encode_name for field in struct.fields] if struct else []
        return InvalidConfig(
            f"{join(path, found['name'])}: unknown field",
            hint=did_you_mean(found["name"], known),
        )
    if found := _MISSING.search(what):
        return InvalidConfig(
            f"{join(path, found['name'])}: is missing",
            hint=f"add {found['name']}" + (f" to {path}" if path else ""),
        )
    where = f"{path}: " if path else ""
    if not what.startswith(("Expected", "Invalid enum value")):
        return InvalidConfig(f"{where}{what}")  # what a struct says about itself
    got = shown(value) if show_values else f"a value of another kind ({type(value).__name__})"
    return InvalidConfig(f"{where}expected {_words(expected)}, got {got}")


def _part(kind: inspect.Type, wanted: type[Any]) -> Any:
    """``kind``, or the part of a union, that is a ``wanted``; None where there is none."""
    if isinstance(kind, inspect.UnionType):
        return next((part for part in kind.types if isinstance(part, wanted)), None)
    return kind if isinstance(kind, wanted) else None


def _field(kind: inspect.Type, name: str) -> inspect.Type:
    struct = _part(kind, inspect.StructType)
    fields = struct.fields if struct else ()
    return next((f.type for f in fields if f.encode_name == name), inspect.AnyType())


def _item(kind: inspect.Type) -> inspect.Type:
    found = _part(kind, inspect.ListType)
    return found.item_type if found else inspect.AnyType()


_NAMES: Final[dict[type[inspect.Type], str]] = {
    inspect.StrType: "string",
    inspect.BoolType: "true or false",
    inspect.FloatType: "number",
    inspect.DictType: "table",
    inspect.AnyType: "another value",
}


def _words(kind: inspect.Type) -> str:
    """What a person may write in this place."""
    if isinstance(kind, inspect.UnionType):
        parts = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return " or ".join(_words(part) for part in parts)
    if isinstance(kind, inspect.IntType):
        bounds = [
            f"{sign} {bound:,}"
            for sign, bound in (
                (">", kind.gt),
                ("≥", kind.ge),
                ("<", kind.lt),
                ("≤", kind.le),
            )
            if bound is not None
        ]
        return " ".join(["int", " and ".join(bounds)]).strip()
    if isinstance(kind, inspect.ListType):
        return f"list of {_words(kind.item_type)}"
    if isinstance(kind, inspect.EnumType):
        return " or ".join(f'"{member.value}"' for member in kind.cls)
    if isinstance(kind, inspect.StructType):
        required = [f.encode_name for f in kind.fields if f.required]
        return f"table with {', '.join(required or [f.encode_name for f in kind.fields])}"
    return _NAMES.get(type(kind), type(kind).__name__)
