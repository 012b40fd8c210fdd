"""A run's folder is replaced as one: whenever its process is killed, the next finds one run, and all of it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from replications import places
from replications.errors import Refusal

PLACE = ("ioi", "gpt2", "en")
WRITER = """
import sys
from pathlib import Path
from replications import files, places
folder, ready = Path(sys.argv[1]), Path(sys.argv[2])
ready.touch()
for number in range(10 ** 9):
    with places.replaced(folder, ("ioi", "gpt2", "en")) as fresh:
        for name in "abcd":
            files.write_text(fresh / f"{name}.csv", str(number))
        files.write_text(fresh / "figures" / f"{number % 2}.svg", str(number))
"""


def written(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder, **texts):
    with places.replaced(folder, PLACE) as fresh:
        for name, text in texts.items():
            (fresh / name).write_text(text)


def test_a_run_replaces_all_of_the_one_before(tmp_path):
    write(tmp_path, old="1", both="1")
    write(tmp_path, new="2", both="2")
    assert written(tmp_path) == {"ioi/gpt2/en/new": "2", "ioi/gpt2/en/both": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["ioi"]


@pytest.mark.parametrize("wrong", [KeyboardInterrupt(), Refusal("no"), OSError(28, "full")])
def test_a_run_that_fails_leaves_the_one_before_and_no_litter(tmp_path, wrong):
    write(tmp_path, old="1")

    def fail():
        with places.replaced(tmp_path, PLACE) as fresh:
            (fresh / "half").write_text("2")
            raise wrong

    with pytest.raises(type(wrong)):
        fail()
    assert written(tmp_path) == {"ioi/gpt2/en/old": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["ioi"]


def test_two_processes_do_not_write_one_run(tmp_path):
    with places.replaced(tmp_path, PLACE) as fresh:
        (fresh / "mine").write_text("1")
        places.recover(tmp_path)
        with pytest.raises(Refusal, match=r"another process is writing .*en: wait"):
            write(tmp_path, yours="2")
        with places.replaced(tmp_path, (*PLACE[:2], "fr")) as other:
            (other / "theirs").write_text("3")
    assert written(tmp_path) == {"ioi/gpt2/en/mine": "1", "ioi/gpt2/fr/theirs": "3"}


def test_a_kill_between_the_two_renames_is_finished_by_the_next_run(tmp_path, monkeypatch):
    write(tmp_path, old="1")
    replace = os.replace

    def killed(source, target):
        if ".partial" in str(source):
            raise SystemExit
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        write(tmp_path, new="2")
    assert not (tmp_path / "ioi" / "gpt2" / "en").exists()
    monkeypatch.setattr(os, "replace", replace)
    places.recover(tmp_path)
    assert written(tmp_path) == {"ioi/gpt2/en/new": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["ioi"]


def test_a_run_killed_at_any_moment_is_whole_after_the_next_start(tmp_path):
    folder = tmp_path / "reports"
    for number in range(6):
        ready = tmp_path / f"ready{number}"
        process = subprocess.Popen([sys.executable, "-c", WRITER, folder, ready])
        end = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.2 + 0.0137 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        places.recover(folder)
        found = written(folder)
        (run,) = set(found.values())
        names = {*"abcd"}
        assert set(found) == {f"ioi/gpt2/en/{name}.csv" for name in names} | {f"ioi/gpt2/en/figures/{int(run) % 2}.svg"}
        assert [path.name for path in folder.iterdir()] == ["ioi"]


def test_what_another_room_left_is_looked_for_beside_the_run_first(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "REPORTS", tmp_path / "reports")
    local = tmp_path / "reports" / "local"
    upstream = ("ioi_circuit", "gpt2", "en")
    for out in (local / "ioi" / "gpt2" / "en", local / places.PARTIAL / "ioi" / "gpt2" / "en"):
        assert places.root_of(out) == local
        assert places.upstream(out, upstream, "c.csv") == tmp_path / "reports" / "ioi_circuit" / "gpt2" / "en" / "c.csv"
    beside = local / "ioi_circuit" / "gpt2" / "en" / "c.csv"
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert places.upstream(local / places.PARTIAL / "ioi" / "gpt2" / "en", upstream, "c.csv") == beside
