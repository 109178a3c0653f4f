"""What is published: an sdist of all that git knows, and from it a wheel of just what is installed; and
under which version."""

import re
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest

from bench.version import __version__

ROOT = Path(__file__).parent.parent
NAME = f"lora_robustness_bench-{__version__}"


def build(what: str, source: Path, target: Path) -> Path:
    """The ``what`` (sdist or wheel) of ``source``, as pip has hatchling build it, in ``target``."""
    pytest.importorskip("hatchling")
    call = f"import hatchling.build; print(hatchling.build.build_{what}({str(target)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=source, capture_output=True, text=True, check=True
    )
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    target = tmp_path_factory.mktemp("sdist")
    shutil.unpack_archive(build("sdist", ROOT, target), target)
    return target / NAME


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_sdist_is_all_that_git_knows(sdist: Path) -> None:
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    if not known[0]:
        pytest.skip("no checkout")
    there = {name for name in known if name and (ROOT / name).is_file()}
    assert there <= files(sdist), "a test that needs it would fail there"


def test_the_wheel_of_the_sdist_is_what_is_installed(sdist: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", sdist, tmp_path)) as wheel:
        names, info = set(wheel.namelist()), f"{NAME}.dist-info"
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
        metadata = wheel.read(f"{info}/METADATA").decode()
    packages = {f"{p}/{name}" for p in ("adapters", "bench") for name in files(sdist / p)}
    suites = {f"bench/_suites/{name}" for name in files(sdist / "suites")}
    own = {name for name in names if not name.startswith(f"{info}/")}
    assert own == packages | suites
    assert {
        "bench/py.typed",
        "adapters/py.typed",
        "bench/render/report.html.j2",
        "bench/_suites/fgsm_pgd.yaml",
    } <= own
    assert f"{info}/licenses/LICENSE" in names
    assert "bench = bench.cli:main" in entry_points
    assert "bench.pytest_plugin = bench.pytest_plugin" in entry_points
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nRequires-Dist: torch>=" in metadata


def test_the_version_is_the_changelog_s() -> None:
    """Until a release, it ends with .dev0 and the changelog says "unreleased"; both lose that on one day."""
    heading = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    found = re.fullmatch(r"## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)", heading)
    assert found is not None, heading
    version, when = found.groups()
    assert __version__ == (f"{version}.dev0" if when == "unreleased" else version)
    assert when == "unreleased" or date.fromisoformat(when)
