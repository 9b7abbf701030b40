"""The codec for data between processes: frozen dataclasses to JSON types and back, by their annotations.

It needs only the standard library, because a worker may run in an environment with little else. Both ends of a pipe
use it, so a decoded value is equal to the original, or the error names the field that does not fit. Supported
annotations: None, bool, int, float, str, `Literal`, an `Enum`, a dataclass, `tuple[X, ...]`, `tuple[X, Y]`, `list[X]`,
`Mapping[str, X]`, `dict[str, X]`, and a union of those that JSON can distinguish.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

SHOWN = 60
"""The maximum number of characters of a wrong value in a message."""


class CodecError(ValueError):
    """A value does not fit its field. `path` is the path of the field, such as `("traffic", "arrivals")`."""

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        self.problem = problem
        self.path = path
        where = "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")
        super().__init__(f"{where}: {problem}" if where else problem)


def encode(value: object, *, skip_defaults: bool = False) -> Any:  # noqa: ANN401 - JSON's types
    """`value` in JSON types. A dataclass becomes an object by field name.

    `skip_defaults` omits fields with their default value at every depth, so that a reader of an older revision gets
    no unknown field unless its value matters. Raises CodecError for values that the annotations do not allow, including
    NaN and infinities, which JSON does not have.
    """
    kind: Any = type(value)
    return _encoder(kind, skip_defaults)(value)


def decode(kind: type[Record], plain: object, *, ignore_unknown: bool = False) -> Record:
    """The record of type `kind`. Raises CodecError, which names the missing, unknown or wrongly typed field.

    `ignore_unknown` skips fields that `kind` does not have: a newer writer may have added them.
    """
    annotation: Any = kind
    found: Record = _decoder(annotation, ignore_unknown)(plain)
    return found


_Coder = Callable[[Any], Any]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _mismatch(wanted: str, value: object) -> CodecError:
    return CodecError(f"{_shown(value)} is not {wanted}")


def _inside(coder: _Coder, value: object, place: str) -> object:
    try:
        return coder(value)
    except CodecError as error:
        raise CodecError(error.problem, (place, *error.path)) from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


# --- encoding ---------------------------------------------------------------------------------------------------------


@cache
def _encoder(kind: type, skip_defaults: bool) -> _Coder:  # noqa: FBT001 - part of the cache's key
    """The function that encodes values of exactly this class."""
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, float):  # NumPy's float64 is one
        return lambda value: float(_finite(value))
    if issubclass(kind, bool | int | str | types.NoneType):
        return lambda value: value
    if is_dataclass(kind):
        return _dataclass_encoder(kind, skip_defaults)
    if issubclass(kind, tuple | list):
        return lambda value: [
            _encoded(each, f"[{number}]", skip_defaults=skip_defaults) for number, each in enumerate(value)
        ]
    if issubclass(kind, Mapping):
        return lambda value: _encoded_mapping(value, skip_defaults=skip_defaults)
    raise CodecError(f"{kind.__name__} has no form in JSON")


def _encoded(value: object, place: str, *, skip_defaults: bool) -> object:
    """The encoded value; `place` is its field or index, for errors."""
    kind: Any = type(value)
    try:
        return _encoder(kind, skip_defaults)(value)
    except CodecError as error:
        raise CodecError(error.problem, (place, *error.path)) from None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _mismatch("a finite number", value)
    return value


def _encoded_mapping(value: Mapping[Any, Any], *, skip_defaults: bool) -> dict[str, Any]:
    encoded = {}
    for key, each in value.items():
        if type(key) is not str:
            raise _mismatch("a text, as a mapping's keys have to be", key)
        encoded[key] = _encoded(each, f"[{key!r}]", skip_defaults=skip_defaults)
    return encoded


def _dataclass_encoder(kind: type, skip_defaults: bool) -> _Coder:  # noqa: FBT001 - part of the cache's key
    # Encoding checks types too, so that the error occurs in the process that set a wrong value.
    parts = [(each.name, _default(each), _checker(_hints(kind)[each.name])) for each in fields(kind)]

    def write(value: object) -> dict[str, Any]:
        written = {}
        for name, default, fits in parts:
            held = getattr(value, name)
            if skip_defaults and held == default and type(held) is type(default):
                continue
            if not fits(held):
                raise CodecError(f"{_shown(held)} is not {_wanted(_hints(kind)[name])}", (name,))
            written[name] = _encoded(held, name, skip_defaults=skip_defaults)
        return written

    return write


def _default(field: Any) -> object:  # noqa: ANN401 - dataclasses.Field of any type
    return field.default_factory() if field.default_factory is not MISSING else field.default


@cache
def _checker(annotation: Any) -> Callable[[object], bool]:  # noqa: ANN401, PLR0911 - a table of annotations
    """Whether a value fits an annotation, without the items of containers. Those are checked when they are encoded."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        checkers = [_checker(each) for each in get_args(annotation)]
        return lambda value: any(fits(value) for fits in checkers)
    if origin is Literal:
        return lambda value: value in get_args(annotation)
    if origin is tuple:
        return lambda value: isinstance(value, tuple)
    if origin is not None:
        return lambda value: isinstance(value, origin)
    if annotation is None or annotation is types.NoneType:
        return lambda value: value is None
    if annotation is float:
        return lambda value: isinstance(value, float | int) and not isinstance(value, bool)
    if annotation is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    return lambda value: isinstance(value, annotation)


# --- decoding ---------------------------------------------------------------------------------------------------------


@cache
def _decoder(annotation: Any, ignore_unknown: bool) -> _Coder:  # noqa: ANN401, FBT001, PLR0911 - a table; a cache's key
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union_decoder(annotation, ignore_unknown)
    if origin is Literal:
        return lambda plain: plain if plain in arguments else _refuse(annotation, plain)
    if origin is tuple and arguments[-1] is ...:
        item = _decoder(arguments[0], ignore_unknown)
        return lambda plain: tuple(_items(annotation, plain, item))
    if origin is tuple:
        return _fixed_tuple_decoder(annotation, ignore_unknown)
    if origin is list:
        item = _decoder(arguments[0], ignore_unknown)
        return lambda plain: list(_items(annotation, plain, item))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _decoder(arguments[1], ignore_unknown)
        return lambda plain: _mapping(annotation, plain, item)
    return _class_decoder(annotation, ignore_unknown)


def _class_decoder(kind: Any, ignore_unknown: bool) -> _Coder:  # noqa: ANN401, FBT001 - any annotation; a cache's key
    if kind is None or kind is types.NoneType:
        return lambda plain: None if plain is None else _refuse(kind, plain)
    if kind is float:
        return lambda plain: _finite(float(plain)) if type(plain) in (float, int) else _refuse(kind, plain)
    if kind in (bool, int, str):
        return lambda plain: plain if type(plain) is kind else _refuse(kind, plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        members = {each.value: each for each in kind}
        return lambda plain: members[plain] if type(plain) in (str, int) and plain in members else _refuse(kind, plain)
    if is_dataclass(kind):
        return _dataclass_decoder(kind, ignore_unknown)  # type: ignore[arg-type]  # a class, as the origin tells
    raise TypeError(f"the codec has no form for the annotation {kind!r}")


def _refuse(annotation: object, plain: object) -> Any:  # noqa: ANN401 - it never returns
    raise _mismatch(_wanted(annotation), plain)


def _items(annotation: object, plain: object, item: _Coder) -> list[object]:
    if not isinstance(plain, list | tuple):  # a pickle of plain values keeps a tuple
        _refuse(annotation, plain)
    assert isinstance(plain, list | tuple)  # noqa: S101 - for the type checker
    try:
        return [item(each) for each in plain]
    except CodecError:
        return [_inside(item, each, f"[{number}]") for number, each in enumerate(plain)]


def _fixed_tuple_decoder(annotation: Any, ignore_unknown: bool) -> _Coder:  # noqa: ANN401, FBT001 - as above
    coders = [_decoder(each, ignore_unknown) for each in get_args(annotation)]

    def read(plain: object) -> tuple[object, ...]:
        if not isinstance(plain, list | tuple) or len(plain) != len(coders):
            _refuse(annotation, plain)
        assert isinstance(plain, list | tuple)  # noqa: S101 - for the type checker
        return tuple(
            _inside(coder, each, f"[{number}]") for number, (coder, each) in enumerate(zip(coders, plain, strict=True))
        )

    return read


def _mapping(annotation: object, plain: object, item: _Coder) -> dict[str, object]:
    if not isinstance(plain, dict):
        _refuse(annotation, plain)
    assert isinstance(plain, dict)  # noqa: S101 - for the type checker
    return {key: _inside(item, each, f"[{key!r}]") for key, each in plain.items()}


def _union_decoder(annotation: Any, ignore_unknown: bool) -> _Coder:  # noqa: ANN401, FBT001 - as above
    members = [each for each in get_args(annotation) if each is not types.NoneType]
    optional = len(members) < len(get_args(annotation))
    if optional and len(members) == 1:
        inner = _decoder(members[0], ignore_unknown)
        return lambda plain: None if plain is None else inner(plain)
    if any(is_dataclass(each) for each in members):
        raise TypeError(f"JSON does not tell the members of {annotation!r} apart")
    coders = [_decoder(each, ignore_unknown) for each in members]

    def read(plain: object) -> object:
        if optional and plain is None:
            return None
        for coder in coders:
            try:
                return coder(plain)
            except CodecError:
                continue
        return _refuse(annotation, plain)

    return read


def _dataclass_decoder(kind: type, ignore_unknown: bool) -> _Coder:  # noqa: FBT001 - a cache's key
    coders = {each.name: _decoder(_hints(kind)[each.name], ignore_unknown) for each in fields(kind)}
    required = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]

    def read(plain: object) -> object:
        if not isinstance(plain, dict):
            _refuse(kind, plain)
        assert isinstance(plain, dict)  # noqa: S101 - for the type checker
        for name in required:
            if name not in plain:
                raise CodecError(f"missing, and {kind.__name__} needs it", (name,))
        values = {}
        for name, each in plain.items():
            coder = coders.get(name)
            if coder is not None:
                try:
                    values[name] = coder(each)
                except CodecError:
                    values[name] = _inside(coder, each, name)
            elif not ignore_unknown:
                raise CodecError(f"unknown: {kind.__name__} has no such field", (name,))
        return kind(**values)

    return read


def _wanted(annotation: Any) -> str:  # noqa: ANN401, PLR0911 - a table of annotations
    """An annotation as text for a message."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_wanted(each) for each in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (tuple, list):
        return "a list" if origin is list or arguments[-1] is ... else f"a list of {len(arguments)}"
    if origin is not None:
        return "an object"
    if annotation is None or annotation is types.NoneType:
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(each.value) for each in annotation)}"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(annotation) or f"an object of {annotation.__name__}"
