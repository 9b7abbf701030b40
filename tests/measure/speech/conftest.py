from pathlib import Path

import pytest

from tests.speech_tools import stand_in


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment whose speech tools are stand-ins."""
    return stand_in(tmp_path_factory.mktemp("tools"))
