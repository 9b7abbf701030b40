"""What the mutation check names is there: modules and tests of `plan.toml`, functions and lines of `may_live.toml`."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def squeezed(text: str) -> str:
    """Without spaces, line ends and commas before brackets: a mutant's line may stand on several lines here."""
    return re.sub(r",(?=[)\]}])", "", re.sub(r"\s+", "", text))


def test_every_module_and_test_of_the_plan_exists() -> None:
    plan = tomllib.loads((HERE / "plan.toml").read_text(encoding="utf-8"))
    named = [path for each in plan["module"] for path in (each["path"], *each["tests"])]
    assert len(named) > 60
    missing = [path for path in named if not (ROOT / path.partition("::")[0]).exists()]
    assert missing == []


def test_every_survivor_that_may_live_is_a_line_of_its_module() -> None:
    content = tomllib.loads((HERE / "may_live.toml").read_text(encoding="utf-8"))
    gone = []
    for path, entries in content.items():
        if path == "everywhere":
            continue
        source = squeezed((ROOT / path).read_text(encoding="utf-8"))
        for each in entries:
            function = each.get("function", "").rpartition(".")[2]
            # The check has the signature of a function without its name.
            line = squeezed(each["before"]).replace("def(", f"def{function}(")
            if line not in source or (function and f"def{function}(" not in source):
                gone.append(f"{path}: {each.get('function')}: {each['before']}")
    assert gone == []
