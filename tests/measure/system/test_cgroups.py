from pathlib import Path

import pytest

from harness.measure.system.cgroups import (
    Throttling,
    cpu_limit,
    memory_limit,
    memory_room,
    parse_cpu_max,
    parse_cpu_stat,
    throttling,
)
from harness.measure.system.free_memory import free_linux


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


UNIFIED = {
    "proc/self/cgroup": "0::/user.slice/job.service\n",
    "sys/fs/cgroup/user.slice/cpu.max": "200000 100000\n",
    "sys/fs/cgroup/user.slice/memory.max": "8589934592\n",
    "sys/fs/cgroup/user.slice/cpu.stat": "usage_usec 9\nnr_periods 5\nnr_throttled 3\nthrottled_usec 2500000\n",
    "sys/fs/cgroup/user.slice/job.service/cpu.max": "300000 100000\n",
    "sys/fs/cgroup/user.slice/job.service/memory.max": "17179869184\n",
    "sys/fs/cgroup/user.slice/job.service/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
}
SEPARATE = {
    "proc/self/cgroup": "4:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 90\nnr_throttled 30\nthrottled_time 4500000000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
}


def test_version_2_takes_the_tightest_ancestor(tmp_path: Path) -> None:
    root = tree(tmp_path, UNIFIED)
    assert cpu_limit(root) == 2.0
    assert memory_limit(root) == 8 << 30
    assert throttling(root) == Throttling(periods=3, seconds=2.5)


def test_version_1_in_a_container_that_sees_its_group_as_the_mount(tmp_path: Path) -> None:
    root = tree(tmp_path, SEPARATE)
    assert cpu_limit(root) == 1.5
    assert memory_limit(root) == 2 << 30
    assert throttling(root) == Throttling(periods=30, seconds=4.5)


def test_version_1_whose_mount_lists_its_controllers_in_another_order(tmp_path: Path) -> None:
    root = tree(tmp_path, SEPARATE | {"proc/self/cgroup": "2:cpuacct,cpu:/\n"})
    assert cpu_limit(root) is None
    (root / "sys/fs/cgroup/cpu").symlink_to(root / "sys/fs/cgroup/cpu,cpuacct")
    assert cpu_limit(root) == 1.5


def test_version_1_without_limits(tmp_path: Path) -> None:
    unlimited = SEPARATE | {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = tree(tmp_path, unlimited)
    assert cpu_limit(root) is None
    assert memory_limit(root) is None


def test_a_system_without_groups_has_no_limits(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path) is None
    assert memory_limit(tmp_path) is None
    assert throttling(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "quota"), [("max 100000", None), ("50000 100000", 0.5), ("", None), ("-1 100000", None), ("0 0", None)]
)
def test_a_quota_is_a_share_of_its_period(text: str, quota: float | None) -> None:
    assert parse_cpu_max(text) == quota


def test_a_root_group_has_no_counters() -> None:
    assert parse_cpu_stat("usage_usec 5\nuser_usec 3\nsystem_usec 2\n") is None


def test_what_may_still_be_taken_is_the_least_that_any_limit_leaves(tmp_path: Path) -> None:
    held = {
        "sys/fs/cgroup/user.slice/memory.current": "6000000000\n",
        "sys/fs/cgroup/user.slice/memory.stat": "anon 5000000000\ninactive_file 500000000\nactive_file 400000000\n",
        "sys/fs/cgroup/user.slice/job.service/memory.current": "100000000\n",
        "sys/fs/cgroup/user.slice/job.service/memory.stat": "inactive_file 0\n",
    }
    assert memory_room(tree(tmp_path, UNIFIED | held)) == (8 << 30) - 6_000_000_000 + 500_000_000


def test_a_container_of_version_1_counts_the_files_of_all_below_it(tmp_path: Path) -> None:
    held = {
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "2000000000\n",
        "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300000000\n",
    }
    assert memory_room(tree(tmp_path, SEPARATE | held)) == (2 << 30) - 2_000_000_000 + 300_000_000


def test_without_a_limit_or_its_counters_there_is_no_bound(tmp_path: Path) -> None:
    assert memory_room(tmp_path) is None
    assert memory_room(tree(tmp_path, SEPARATE)) is None


def test_workers_may_take_what_is_free_on_the_machine_and_in_the_container(tmp_path: Path) -> None:
    held = {"sys/fs/cgroup/memory/memory.usage_in_bytes": "1147483648\n", "sys/fs/cgroup/memory/memory.stat": ""}
    tree(tmp_path, SEPARATE | held | {"proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 4000000 kB\n"})
    assert free_linux(tmp_path) == 1_000_000_000
    tree(tmp_path, {"proc/meminfo": "MemAvailable: 500000 kB\n"})
    assert free_linux(tmp_path) == 512_000_000
    assert free_linux(tmp_path / "nothing") is None
