"""The recipe of a run: everything that can change its result, and nothing else.

Threads, memory, devices and progress do not belong here; they are settings, which are logged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tamis.run.atomic import json_bytes

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return `recipe` as JSON would read it back: tuples become lists, keys strings.

    Raises:
        TypeError, ValueError: a value that JSON cannot hold, such as an array or NaN.
    """
    value: dict[str, Any] = json.loads(json_bytes(recipe))
    return value


def config_hash(recipe: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hex digits) of the recipe's one JSON text; key order is immaterial.

    Example:
        >>> config_hash({"eps": 0.1, "seed": 0}) == config_hash({"seed": 0, "eps": 0.1})
        True
    """
    return hashlib.sha256(json_bytes(plain(recipe))).hexdigest()


def recipe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one "key: old -> new" per difference, nested keys joined by dots, sorted.

    Example:
        >>> recipe_changes({"eps": 0.1, "kmeans": {"seed": 0}}, {"kmeans": {"seed": 1}})
        ['eps: 0.1 -> (absent)', 'kmeans.seed: 0 -> 1']
    """
    before, after = _flatten(plain(old)), _flatten(plain(new))
    return [
        f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def to_toml(recipe: Mapping[str, Any]) -> str:
    """Return `recipe` as TOML, keys sorted, tables after plain values.

    A value that was not given (None), which TOML cannot express, becomes a comment.

    Example:
        >>> print(to_toml({"seed": 0, "eps": None, "pool": {"embedding": "l14_img"}}), end="")
        # eps: not given
        seed = 0
        <BLANKLINE>
        [pool]
        embedding = "l14_img"
    """
    return "\n".join(_table(plain(recipe), ())) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(map(_key, path))}]"] if path else []
    inner = []
    for key, value in sorted(table.items()):
        if isinstance(value, dict):
            inner.append((key, value))
        elif value is None:
            lines.append(f"# {_key(key)}: not given")
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in inner:
        lines += ["", *_table(value, (*path, key))] if lines else _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in sorted(value.items())) + "}"
    if value is None:
        return '""'  # only inside a list
    return json.dumps(value)


def _flatten(table: Mapping[str, Any], path: str = "") -> dict[str, str]:
    flat = {}
    for key, value in table.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return flat
