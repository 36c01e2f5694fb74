import pickle

import psutil
import pytest

from nengo_cam.checks import memory
from nengo_cam.exceptions import ResultSizeError


def test_free_memory_is_what_the_machine_has(monkeypatch):
    monkeypatch.setattr(memory, "CONTROL_GROUPS", ())
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("1000", "400", 625), ("max", "400", 10_000), ("20000", "400", 10_000), ("1000", "", 10_000), ("", "7", 10_000)],
)
def test_a_container_may_have_less(monkeypatch, tmp_path, limit, used, left):
    files = {"limit": limit, "used": used, "stat": "active_file 9\ninactive_file 25\nanon 3\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    missing = ("/does/not/exist",) * 3
    groups = ((*(str(tmp_path / name) for name in files), "inactive_file"), (*missing, "inactive_file"))
    monkeypatch.setattr(memory, "CONTROL_GROUPS", groups)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10_000}))
    assert memory.free_memory() == left


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2_000_000)
    memory.check_room(2_000_000, what="maps", remedy="Take fewer.")
    with pytest.raises(
        ResultSizeError, match=r"^maps take 2.5 GB; expected at most the 2 MB .* Take fewer\.$"
    ) as caught:
        memory.check_room(2_500_000_000, what="maps", remedy="Take fewer.")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.n_bytes, again.free) == (2_500_000_000, 2_000_000)
    assert isinstance(again, MemoryError)


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (5.6e12, "5.6 TB"), (4e18, "4,000 PB")]
)
def test_sizes_are_readable(n_bytes, text):
    assert memory.readable_bytes(n_bytes) == text
