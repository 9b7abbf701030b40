from pathlib import Path

import pytest

from harness.measure.cgroups import Throttling, cpu_limit, memory_limit, parse_cpu_max, parse_cpu_stat, throttling


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
