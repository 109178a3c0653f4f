"""A run on a Ray cluster started for it: two of its units fail, the others give what one process gives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli.commands import main
from tests.builders.spoilt import DIES, RAISES
from tests.builders.tiny import TINY
from tests.torture.tiny import CELLS, SUITE, UNITS, Place

SPOIL = "from bench.executors import node; from tests.builders import spoilt; node.attack = spoilt.attack"
MODELS = ("backbone (3 source classes)", "full", "lora")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The tiny suite, run in one process."""
    place = Place(tmp_path_factory.mktemp("here"))
    assert place.run().returncode == 0
    return place


@pytest.mark.slow
def test_on_ray_a_run_trains_attacks_and_fails_as_in_one_process(here: Place, tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.run("--executor", "ray", "--format", "json", code=SPOIL, start_new_session=True)
    assert done.returncode == 4, done.stderr
    cells = json.loads(done.stdout)["cells"]
    failed = {
        unit: {c["error"] for c in cells if name(c) == unit}
        for unit in {name(c) for c in cells if c["error"]}
    }
    (lost,) = failed.pop(DIES)
    assert lost.startswith("its Ray worker was lost: The worker died unexpectedly")
    assert failed == {RAISES: {"RuntimeError: the library broke"}}
    found = place.digests()
    assert len(found) == CELLS - 4
    assert found.items() <= here.digests().items()

    for model in MODELS:
        assert f"trained {model}: 1 epochs" in done.stderr
    assert f"[{UNITS}/{UNITS}] " in done.stderr
    assert f"bench: {RAISES} failed: RuntimeError: the library broke" in done.stderr
    assert "raylet" not in done.stderr
    assert len(list(place.results.glob("*/*/trust/*.json"))) == 2, "both models are examined"

    assert place.run().returncode == 0, "in one process again, what failed on Ray is computed"
    assert place.digests() == here.digests()


def name(cell: dict[str, str]) -> str:
    return f"{cell['model']}/{cell['seed']}/{cell['attack']}/{cell['library']}"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_on_ray_stops_when_asked_and_leaves_nothing_running(
    number: int, code: int, here: Place, tmp_path: Path
) -> None:
    place = Place(tmp_path, cache=here.cache, suite=SUITE.replace("steps: 2", "steps: 60"))
    process = place.start("--executor", "ray", start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[1/{UNITS}]"):
            break
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == code
    assert (
        f"interrupted ({signal.Signals(number).name}); what is finished is stored; the same command goes on"
        in said
    )
    assert "Traceback" not in said
    assert 0 < len(place.digests()) < CELLS
    assert gone(process.pid)
    assert place.run().returncode == 0
    assert len(place.digests()) == CELLS


@pytest.mark.slow
def test_a_second_machine_that_is_lost_costs_only_what_ran_there(
    here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two raylets on one machine, one of which is killed at work: its units are tried again on the other."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        place = Place(tmp_path, cache=here.cache, suite=SUITE)
        process = place.start("--executor", "ray", start_new_session=True)
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if line.startswith(f"[1/{UNITS}]"):
                break
        cluster.remove_node(second, allow_graceful=False)
        _, said = process.communicate(timeout=300)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert "a Ray worker was lost; its task is tried again (2 of 3)" in "".join(before) + said
    assert place.digests() == here.digests()
    assert place.header["status"] == "complete"


@pytest.mark.slow
def test_the_driver_does_not_eat_a_core_while_it_waits(here: Place, tmp_path: Path) -> None:
    place = Place(tmp_path, cache=here.cache)
    code = (
        "from bench.executors import node; from tests.builders import spoilt; node.attack ="
        " spoilt.sleeping_attack"
    )
    process = place.start("--executor", "ray", code=code, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[1/{UNITS}]"):
            break
    before, started = cpu_seconds(process.pid), time.monotonic()
    time.sleep(10)
    share = (cpu_seconds(process.pid) - before) / (time.monotonic() - started)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert share < 0.2


def cpu_seconds(pid: int) -> float:
    """Of the process ``pid`` alone, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(session: int) -> bool:
    """Whether no process of ``session`` is left after some seconds."""
    for _ in range(50):
        if subprocess.run(
            ["ps", "-s", str(session), "-o", "pid="], capture_output=True, check=False
        ).returncode:
            return True
        time.sleep(0.2)
    return False


def test_without_ray_the_error_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "bench.executors.cluster", raising=False)
    assert (
        main(["run", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path / "r"), "--executor", "ray"]) == 2
    )
    assert (
        capsys.readouterr().err
        == "bench: --executor ray: Ray is not installed; pip install 'lora-robustness-bench[ray]'\n"
    )


@pytest.mark.parametrize(
    ("options", "before", "said"),
    [
        (
            ["--device", "cuda:1"],
            "",
            "--device cuda:1: Ray chooses the GPU of each task; give auto, cpu or cuda",
        ),
        (
            [],
            "import os; os.environ['RAY_ADDRESS'] = '127.0.0.1:1'",
            "RAY_ADDRESS=127.0.0.1:1: no Ray cluster answers there",
        ),
    ],
)
@pytest.mark.slow
def test_what_the_cluster_cannot_give_is_said_before_anything_runs(
    options: list[str], before: str, said: str, tmp_path: Path
) -> None:
    done = Place(tmp_path).run("--executor", "ray", *options, code=before)
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_on_ray_a_missed_accuracy_stops_the_run_before_any_attack(here: Place, tmp_path: Path) -> None:
    suite = SUITE.replace("{name: full}", "{name: full, expect_accuracy: {value: 0, within: 0}}")
    place = Place(tmp_path, cache=here.cache, suite=suite)
    alone, on_ray = (place.run(*options) for options in ((), ("--executor", "ray")))
    assert (alone.returncode, on_ray.returncode) == (4, 4)
    assert on_ray.stderr.splitlines()[-1] == alone.stderr.splitlines()[-1]
    assert "tiny.yaml:9: full: the clean accuracy is " in on_ray.stderr
    assert not list(place.results.glob("*/*/cells"))
