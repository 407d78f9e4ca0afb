"""YAML that users write, read strictly: YAML 1.2 scalars, unique text keys, bounded size and depth.

PyYAML reads YAML 1.1, in which `no` is false and `1:30` is 90, takes the last of two equal keys, and follows nesting
and aliases however far they go. Task files keep PyYAML's scalars, since lm-eval reads them too, and are bounded by
`check_bounds`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from kick.errors import InputError, nearest
from kick.files import read_text

MAX_BYTES = 2**20
MAX_DEPTH = 20
# Values after aliases are expanded.
MAX_NODES = 50_000

# The scalars of the YAML 1.2 core schema with their possible first characters; everything else is text. Integers come
# before floats, which match them too.
_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "int": (r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
}


# libyaml where PyYAML is built with it: events and task files are read many times faster.
FastLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(yaml.SafeLoader):
    """YAML 1.2 scalars; a key is text and given once."""

    # The class's own: those of yaml.SafeLoader are shared.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML declares it as of the instance

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"the key {key_node.value!r} is not text: put it in quotes"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key in keys:
                problem = f"the key '{key}' is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            keys.append(key)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave `<<` a key like any other: YAML 1.2 has no merge keys."""


class _Dumper(yaml.SafeDumper):
    """Quote what either version of YAML would read as something other than text."""


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Strict, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_Strict.add_constructor("tag:yaml.org,2002:int", _Strict.construct_number)


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file.

    Raises:
        InputError: the file cannot be read, is not UTF-8 or YAML, is larger or more deeply nested than any file for
            kick need be, or holds a key twice or one that is not text.
    """
    return parse_yaml(read_text(path, MAX_BYTES), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text; messages begin with `where`. See `read_yaml`."""
    check_bounds(text, where)
    try:
        return yaml.load(text, Loader=_Strict)
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{where} cannot be read as YAML: {_reason(error)}") from None


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML that reads back as the same data, in the order of its keys."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def check_bounds(text: str, where: str) -> None:
    """Refuse YAML that is too large or too deeply nested, aliases expanded, without building any of it.

    Raises:
        InputError: it is, or it is not YAML at all.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise InputError(f"{where} is larger than {MAX_BYTES // 2**20} MiB. Give a file that a person wrote.")
    # Values under each open collection, the anchor it has, and sizes by anchor.
    open_sizes: list[int] = [0]
    open_anchors: list[str | None] = [None]
    sizes: dict[str, int] = {}
    try:
        for event in yaml.parse(text, Loader=FastLoader):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor in open_anchors:
                    raise InputError(f"{where}: the alias *{event.anchor} is inside the value that it names.")
                open_sizes[-1] += sizes.get(event.anchor or "", 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                open_sizes.append(1)
                open_anchors.append(event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                size, anchor = open_sizes.pop(), open_anchors.pop()
                open_sizes[-1] += size
                if anchor:
                    sizes[anchor] = size
            elif isinstance(event, yaml.ScalarEvent):
                open_sizes[-1] += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            if len(open_sizes) > MAX_DEPTH + 1:
                raise InputError(f"{where} is nested more than {MAX_DEPTH} levels deep. Flatten it.")
            if open_sizes[-1] > MAX_NODES:
                raise InputError(f"{where} holds more than {MAX_NODES:,} values. Give a smaller file.")
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where} cannot be read as YAML: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return an error as one line that ends in its position."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())


def explain(error: ValidationError, top: type[BaseModel], below: Mapping[str, type[BaseModel]]) -> str:
    """Return the first mistake in a user's file as one sentence with its key; an unknown key comes before all others.

    Args:
        error: the errors of pydantic.
        top: the keys of the file.
        below: the keys of its entries, by the key that holds them.
    """
    problems = error.errors()
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        owner = next((below[part] for part in reversed(location[:-1]) if part in below), top)
        fields = owner.model_fields
        return f"{key}: unknown key. {nearest(location[-1], [f.alias or name for name, f in fields.items()])}"
    if problem["type"] == "missing":
        return f"{key}: this key is missing."
    given = problem["input"]
    if isinstance(given, dict | list) or not key or repr(given) in problem["msg"]:
        return f"{key}: {problem['msg'].removesuffix('.')}.".removeprefix(": ")
    return f"{key}: {problem['msg']} (given: {given!r}).".removeprefix(": ")
