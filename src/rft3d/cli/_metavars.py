"""What stands for an option's value in ``--help``: its name (``--out OUT``) where tyro has a type (``--out PATH``).

Numbers are N (whole) and NUMBER, choices are listed; a field's own ``tyro.conf.arg(metavar=...)`` comes before all.
"""

from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

named = ConstructorRegistry()
"""For ``tyro.cli(registry=...)``."""
_POSITIONAL = get_args(tyro.conf.Positional[int])[1]
_SHOWN = {str: "", Path: "", int: "N", float: "NUMBER"}
_asking = False


@named.struct_rule
def _names(info: StructTypeInfo) -> StructConstructorSpec | None:
    global _asking
    if _asking:
        return None  # our own question below, which is tyro's to answer
    _asking = True
    try:
        spec = ConstructorRegistry.get_struct_spec(info)
    finally:
        _asking = False
    if not isinstance(spec, StructConstructorSpec):
        return None
    fields: list[StructFieldSpec] = []
    for field in spec.fields:
        hint: Any = field.type  # pyright: ignore
        shown = _metavar(hint, field.name.rsplit("_", 1)[-1].upper())
        fields.append(replace(field, type=Annotated[hint, tyro.conf.arg(metavar=shown)]) if shown else field)
    return replace(spec, fields=tuple(fields))


def _metavar(hint: Any, name: str) -> str:
    """What stands for a value of type ``hint``; nothing where tyro's own is better (choices, flags, mappings)."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        own = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), "")
        return own if own or _POSITIONAL in marks else _metavar(inner, name)
    if hint in _SHOWN:
        return _SHOWN[hint] or name
    inner = [_metavar(each, name) for each in get_args(hint) if each not in (NoneType, ...)]
    if not inner or not all(inner) or get_origin(hint) is dict:
        return ""
    if get_origin(hint) is tuple:
        return f"[{inner[0]} [{inner[0]} ...]]" if ... in get_args(hint) else " ".join(inner)
    return inner[0]
