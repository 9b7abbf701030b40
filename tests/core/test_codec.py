"""What crosses a process comes back equal, or the field that does not fit is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, IntEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.codec import CodecError, decode, encode
from harness.core.records.repetition import OutcomeKind, Phase
from harness.core.records.scenario import Arrivals, Traffic
from harness.measure.worker.protocol import (
    ORDERS,
    Answer,
    ConcurrentOrder,
    LoadOrder,
    Order,
    RequestText,
    read_answer,
    read_order,
    write_answer,
    write_order,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES: dict[object, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**60), 2**60),
    float: FLOATS,
    str: st.text(max_size=5),
    NoneType: st.none(),
}


@cache  # Hypothesis validates each new strategy, which costs more than to draw from it.
def values_of(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a table of annotations
    """Any value that an annotation allows: nested dataclasses, and every member of every enumeration."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    if is_dataclass(annotation):
        return records_of(annotation)  # type: ignore[arg-type]
    return LEAVES[annotation]


@cache
def records_of(kind: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{each.name: values_of(hints[each.name]) for each in fields(kind)})


def same(one: object, other: object) -> bool:
    """Equal, and of one type at every depth: a text is no member of an enumeration, although it may compare equal."""
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("kind", list(ORDERS.values()), ids=list(ORDERS))
@given(data=st.data())
def test_any_order_comes_back_equal(kind: type[Order], data: st.DataObject) -> None:
    order = data.draw(records_of(kind))
    assert same(read_order(write_order(order)), order)


@pytest.mark.parametrize("part", [each.name for each in fields(Answer)])
@given(data=st.data())
def test_any_answer_comes_back_equal(part: str, data: st.DataObject) -> None:
    said = data.draw(values_of(get_type_hints(Answer)[part]))
    answer = Answer(**{part: said})
    assert same(read_answer(write_answer(answer)), answer)


@pytest.mark.parametrize("arrivals", list(Arrivals))
@pytest.mark.parametrize("phase", list(Phase))
def test_every_kind_of_load_in_every_phase_comes_back_as_itself(arrivals: Arrivals, phase: Phase) -> None:
    order = ConcurrentOrder(
        scenario_id="s",
        launch=0,
        block=0,
        phase=phase,
        texts=(RequestText(text_class="c", variant=0, text="a", language="en-us", band_low=0, band_high=1),),
        voice="af_heart",
        traffic=Traffic(arrivals=arrivals, level=2),
    )
    back = read_order(write_order(order))
    assert isinstance(back, ConcurrentOrder)
    assert back.traffic is not None
    assert back.traffic.arrivals is arrivals
    assert back.phase is phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    kind: OutcomeKind = OutcomeKind.VALID
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    share: float = 0.0
    cache: Literal["warm", "cold"] = "warm"
    inner: Inner = field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    pair: tuple[str, int] = ("", 0)
    table: Mapping[str, float] = field(default_factory=dict)
    note: Inner | None = None
    mixed: bool | int | str | None = None


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: bool | int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vague:
    value: Inner | Outer


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "name: missing, and Outer needs it"),
        ({"name": 3}, "name: 3 is not a text"),
        ({"name": None}, "name: None is not a text"),
        ({"name": "a", "loud": 1}, "loud: unknown: Outer has no such field"),
        ({"name": "a", "share": "0.5"}, "share: '0.5' is not a number"),
        ({"name": "a", "share": True}, "share: True is not a number"),
        ({"name": "a", "share": float("nan")}, "share: nan is not a finite number"),
        ({"name": "a", "cache": "hot"}, "cache: 'hot' is not one of 'warm', 'cold'"),
        ({"name": "a", "inner": []}, "inner: [] is not an object of Inner"),
        ({"name": "a", "inner": {"kind": "good"}}, "inner.kind: 'good' is not one of valid, invalid-audio"),
        ({"name": "a", "inner": {"count": 1.0}}, "inner.count: 1.0 is not a whole number"),
        ({"name": "a", "inner": {"count": True}}, "inner.count: True is not a whole number"),
        ({"name": "a", "many": [{}, {"count": "2"}]}, "many[1].count: '2' is not a whole number"),
        ({"name": "a", "many": {}}, "many: {} is not a list"),
        ({"name": "a", "pair": ["b"]}, "pair: ['b'] is not a list of 2"),
        ({"name": "a", "pair": ["b", "c"]}, "pair[1]: 'c' is not a whole number"),
        ({"name": "a", "table": []}, "table: [] is not an object"),
        ({"name": "a", "table": {"x": "1"}}, "table['x']: '1' is not a number"),
        ({"name": "a", "note": 1}, "note: 1 is not an object of Inner"),
        ({"name": "a", "mixed": 1.5}, "mixed: 1.5 is not true or false or a whole number or a text or null"),
        ([], "[] is not an object of Outer"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(plain: object, message: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode(Outer, plain)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": 3}, "name: 3 is not a text"),
        ({"share": float("inf")}, "share: inf is not a finite number"),
        ({"share": "0.5"}, "share: '0.5' is not a number"),
        ({"cache": "hot"}, "cache: 'hot' is not one of 'warm', 'cold'"),
        ({"inner": {"kind": "valid"}}, "inner: {'kind': 'valid'} is not an object of Inner"),
        ({"inner": Inner(kind="valid")}, "inner.kind: 'valid' is not one of valid"),  # type: ignore[arg-type]
        ({"many": [Inner()]}, "many: [Inner("),
        ({"many": (Inner(count=True),)}, "many[0].count: True is not a whole number"),
        ({"table": {1: 1.0}}, "table: 1 is not a text"),
        ({"table": {"x": object()}}, "table['x']: object has no form in JSON"),
    ],
)
def test_whoever_puts_a_wrong_value_into_a_field_hears_of_it(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(Outer(**{"name": "a", **wrong}))
    assert str(caught.value).startswith(message)


def test_what_is_at_its_default_is_left_out_at_every_depth() -> None:
    written = encode(Outer(name="a", inner=Inner(count=2), many=(Inner(),)), skip_defaults=True)
    assert written == {"name": "a", "inner": {"count": 2}, "many": [{}]}


def test_a_default_of_another_type_is_not_left_out() -> None:
    assert encode(Number(value=False), skip_defaults=True) == {"value": False}


def test_fields_of_a_newer_writer_are_skipped_where_the_reader_says_so() -> None:
    plain = {"name": "a", "newer": [1], "inner": {"count": 1, "newer": 2}}
    assert decode(Outer, plain, ignore_unknown=True) == Outer(name="a", inner=Inner(count=1))


def test_a_number_of_numpy_is_written_as_a_number() -> None:
    written = encode(Outer(name="a", share=np.float64(0.5)))
    assert json.loads(json.dumps(written))["share"] == 0.5


def test_members_of_enumerations_of_numbers_come_back() -> None:
    assert same(decode(Both, encode(Both(level=Level.HIGH))), Both(level=Level.HIGH))


def test_an_annotation_that_json_cannot_tell_apart_is_refused_when_it_is_first_used() -> None:
    with pytest.raises(TypeError, match="does not tell the members"):
        decode(Vague, {"value": {}})


def test_an_order_with_a_wrong_field_is_refused_by_its_name_on_either_side() -> None:
    with pytest.raises(ValueError, match=r"engine: {'engine': 'scripted'} is not an object of EngineOrder"):
        write_order(LoadOrder(arm_id="a", launch=0, engine={"engine": "scripted"}))  # type: ignore[arg-type]
    line = b'{"order": "crowd", "scenario_id": "s", "launch": 0, "block": 0, "phase": "measured", "texts": [], '
    with pytest.raises(ValueError, match=r"crowd\.traffic\.arrivals: 'shut' is not one of closed, constant"):
        read_order(line + b'"voice": "v", "traffic": {"arrivals": "shut", "level": 1}}')


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (None, None),
        (NoneType, None),
        (list[int], [1, 2]),
        (list[Inner], [Inner(count=1), Inner()]),
        (tuple[int | None, ...], (1, None, 2)),
        (tuple[int], (1,)),
        (tuple[Inner, str, float], (Inner(count=2), "a", 0.5)),
        (dict[str, list[Level]], {"a": [Level.LOW], "b": []}),
        (bool | int | str, True),
        (bool | int | str, 1),
        (bool | int | str, "1"),
        (int | str | None, None),
        (list[int] | str, [1]),
        (list[int] | str, "a"),
    ],
)
def test_every_form_of_annotation_comes_back_as_itself(annotation: Any, value: object) -> None:
    assert same(decode(annotation, encode(value)), value)


@pytest.mark.parametrize(
    ("annotation", "plain", "message"),
    [
        (None, 0, "0 is not null"),
        (NoneType, "", "'' is not null"),
        (list[int], {}, "{} is not a list"),
        (list[int], [1, "a"], "[1]: 'a' is not a whole number"),
        (tuple[int, ...], {}, "{} is not a list"),
        (tuple[int], [], "[] is not a list of 1"),
        (tuple[int], [1, 2], "[1, 2] is not a list of 1"),
        (tuple[int, str], "ab", "'ab' is not a list of 2"),
        (dict[str, int], {"a": None}, "['a']: None is not a whole number"),
        (bool | int, None, "None is not true or false or a whole number"),
        (int | str | None, 0.5, "0.5 is not a whole number or a text or null"),
        (Literal["a", 1], "b", "'b' is not one of 'a', 1"),
        # Of a long value a message shows 60 characters, quotes included.
        (int, "x" * 58, f"'{'x' * 58}' is not a whole number"),
        (int, "x" * 59, f"'{'x' * 58}… is not a whole number"),
    ],
)
def test_what_does_not_fit_an_annotation_is_refused_in_its_words(annotation: Any, plain: object, message: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode(annotation, plain)
    assert str(caught.value) == message


def test_an_annotation_without_a_form_is_a_mistake_of_the_program_and_names_itself() -> None:
    with pytest.raises(TypeError, match=r"no form for the annotation <class 'bytes'>"):
        decode(bytes, b"")
    with pytest.raises(TypeError, match=r"no form for the annotation <class 'bytes'>"):
        decode(list[bytes], [])
