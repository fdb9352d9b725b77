"""JSON text that has exactly one meaning, and fits into a database."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from syncmon_ext.model.errors import InvalidRequest

LARGEST: Final = 2**63 - 1  # of a whole number, in every database
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def parse_json(raw: bytes) -> Any:
    """Plain data from the JSON in ``raw``. Raises InvalidRequest.

    Refused besides broken text: names that stand twice in one object, NaN and infinities, whole
    numbers beyond 64 bits, NUL characters and lone surrogates.
    """
    try:
        data = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except ValueError:  # Python reads no numbers of thousands of digits
        raise InvalidRequest("the body holds a number that is out of range") from None
    _check(data)
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"{name[:80]!r} stands twice in one object", hint="give it once")
        found[name] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"the body holds {name}, which is no JSON", hint="use null")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidRequest(f"the body holds {text[:40]}, which is out of range")
    return number


def _check(data: Any) -> None:
    rest = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(value)
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, str):
            if "\0" in value:
                raise InvalidRequest("the body holds a NUL character", hint="leave it out")
            if _SURROGATE.search(value):
                raise InvalidRequest("the body holds half a surrogate pair", hint="use UTF-8")
        elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise InvalidRequest("the body holds a whole number of more than 64 bits")
