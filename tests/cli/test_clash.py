"""AdapterHub's package is called ``adapters``, as ours: where it hides ours, that is said, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import clash
from bench.cli.doctor import examine

ROOT = Path(clash.__file__).parent.parent
HUB = '"""AdapterHub: adapters for transformers."""\n\nfrom .training import AdapterArguments\n'


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder with a package of AdapterHub's name and files."""
    package = tmp_path / "site" / "adapters"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(HUB)
    (package / "training.py").write_text("class AdapterArguments: ...\n")
    return package.parent


def python(hub: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hub), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=hub,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_import_warns_and_the_api_says_what_hides_it(hub: Path) -> None:
    done = python(hub, "-c", "import bench; print(bench.__version__)")
    assert done.returncode == 0
    assert f"RuntimeWarning: {hub}/adapters/__init__.py is another package called 'adapters'" in done.stderr
    used = python(hub, "-c", "import bench; bench.load('latest')")
    assert used.returncode == 1
    assert (
        used.stderr.strip()
        .splitlines()[-1]
        .startswith(f"ImportError: {hub}/adapters/__init__.py is another package")
    )
    assert "pip uninstall adapters" in used.stderr


@pytest.mark.parametrize("command", [["doctor"], ["run", "fgsm_pgd"], ["list", "attacks"]])
def test_every_command_says_so_without_a_traceback(command: list[str], hub: Path) -> None:
    done = python(hub, "-W", "ignore", "-m", "bench", *command)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"bench: {hub}/adapters/__init__.py is another package called 'adapters'")
    assert done.stderr.count("\n") == 1


def test_where_ours_is_found_nothing_is_said(tmp_path: Path) -> None:
    assert clash.find_clash() is None
    done = python(
        tmp_path,
        "-W",
        "error",
        "-c",
        "import bench, sys; print('torch' in sys.modules, 'numpy' in sys.modules)",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\n", "")


def test_a_file_of_ours_that_the_other_has_overwritten_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Installed into one folder, the two mix: the second leaves its own __init__.py among our files."""
    mixed = tmp_path / "adapters" / "__init__.py"
    mixed.parent.mkdir()
    mixed.write_text(HUB)
    (mixed.parent / "spec.py").write_text("")
    monkeypatch.setattr(clash, "find_spec", lambda _: type("Spec", (), {"origin": str(mixed)}))
    assert str(mixed) in (clash.find_clash() or "")


def test_the_doctor_names_one_that_is_installed_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [f for f in examine() if f.what == "adapters"]
    monkeypatch.setattr("bench.cli.doctor.installed_beside", lambda: "1.2.0")
    (found,) = (f for f in examine() if f.what == "adapters")
    assert (found.status, "AdapterHub's package 1.2.0 is installed too" in found.found) == ("note", True)
