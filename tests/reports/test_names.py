"""The tests themselves."""

from collections import Counter

import pytest


def test_no_two_have_one_name(request: pytest.FixtureRequest) -> None:
    """Of two tests with one name pytest-xdist runs one, and says nothing of the other."""
    times = Counter(item.nodeid for item in request.session.items)
    assert [name for name in times if times[name] > 1] == []
