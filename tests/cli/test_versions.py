"""With which versions the tests passed: what is written down, by whom, and what the doctor makes of it."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from bench.cli import doctor, versions
from bench.cli.versions import FILE, Range, ranges
from bench.engine.provenance import PACKAGES
from bench.version import __version__
from tests import tested_versions
from tests.tested_versions import PROJECT, needed, written


def test_each_range_goes_up_and_what_a_run_names_has_one() -> None:
    assert set(PACKAGES) | {"python", "foolbox", "adversarial-robustness-toolbox"} <= set(ranges())
    assert all(Version(known.oldest) <= Version(known.newest) for known in ranges().values())


@pytest.mark.skipif(
    __version__.endswith(".dev0"), reason="between releases, bounds move before they are tested"
)
def test_a_release_was_tested_with_what_it_declares() -> None:
    environments = json.loads(FILE.read_text())
    for one in needed():
        assert all(versions[one.name] in one.specifier for versions in environments.values()), one.name
    declared = tomllib.loads(PROJECT.read_text())["project"]["requires-python"]
    assert declared == f">={ranges()['python'].oldest}"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2.7.0", "2.7.0 (tested: 2.7.0 to 2.14.1)"),
        ("2.9.1+cpu", "2.9.1+cpu (tested: 2.7.0 to 2.14.1)"),
        ("2.14.1", "2.14.1 (tested: 2.7.0 to 2.14.1)"),
        ("2.14.2", "2.14.2, newer than what was tested (2.7.0 to 2.14.1)"),
        ("2.15.0.dev1+cu130", "2.15.0.dev1+cu130, newer than what was tested (2.7.0 to 2.14.1)"),
        ("2.6", "2.6, older than what was tested (2.7.0 to 2.14.1)"),
    ],
)
def test_a_version_stands_within_what_was_tested_or_outside(version: str, said: str) -> None:
    assert Range("2.7.0", "2.14.1").beside(version) == said


def test_a_version_is_compared_as_far_as_the_tested_one_is_written() -> None:
    assert Range("3.11", "3.11").beside("3.11.9") == "3.11.9 (tested: 3.11)"
    assert Range("3.11", "3.11").outside("3.12.0") == "newer"


def test_the_doctor_says_what_is_outside_of_what_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.what: finding for finding in doctor.examine()}
    assert found["python"].found.endswith(f"(tested: {ranges()['python']})")
    assert f"foolbox 3.3.4 (tested: {ranges()['foolbox']})" in found["attacks of Foolbox"].found
    known = {
        **ranges(),
        "torch": Range("1.0", "1.1"),
        "numpy": Range("1", "99"),
        "numba": Range("99", "99"),
        "torchattacks": Range("1", "1"),
    }
    monkeypatch.setattr(doctor, "ranges", lambda: known)
    found = {finding.what: finding for finding in doctor.examine()}
    assert (found["torch"].status, ", newer than what was tested (1.0 to 1.1)" in found["torch"].found) == (
        "note",
        True,
    )
    assert (found["numpy"].status, "(tested: " in found["numpy"].found) == ("ok", True)
    assert found["versions"].status == "note"
    outside = found["versions"].found.partition("outside of that: ")[2].split(", ")
    assert {"torch", "numba"} <= {one.split()[0] for one in outside}


OLD, NEW = {"torch": "0.1", "ray": "0.1"}, {"torch": "99", "onnx": "99"}
BOTH = "with the oldest of the tested versions together, and with the newest together"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "no versions have been tested together"),
        ({"oldest": {}, "newest": {}}, "no versions have been tested together"),
        (
            {"oldest": {}, "newest": {"torch": "0.1"}},
            "all tests passed with the newest versions together, but not yet with the oldest; outside of"
            " that: torch {torch}",
        ),
        (
            {"newest": {"torch": "{torch}"}},
            "all tests passed with the newest versions together, but not yet with the oldest; those are"
            " installed",
        ),
        (
            {"oldest": {"torch": "99"}, "newest": {}},
            "all tests passed with the oldest versions together, but not yet with the newest; outside of"
            " that: torch {torch}",
        ),
        ({"newest": NEW, "oldest": OLD}, f"all tests passed {BOTH}; what is installed lies between"),
        (
            {"oldest": OLD, "newest": NEW | {"torch": "0.2"}},
            f"all tests passed {BOTH}; outside of that: torch {{torch}}",
        ),
    ],
)
def test_the_doctor_says_no_more_than_what_was_tested(
    written: dict[str, dict[str, str]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "FILE", tmp_path / "versions.json")
    monkeypatch.setattr(doctor, "version_of", lambda name: "2.7.0" if name == "torch" else None)
    (tmp_path / "versions.json").write_text(json.dumps(written).replace("{torch}", "2.7.0"))
    for cached in (versions.environments, versions.ranges):
        monkeypatch.setattr(doctor, cached.__name__, cached.__wrapped__)
    monkeypatch.setattr(versions, "environments", versions.environments.__wrapped__)
    found = doctor._together()
    assert found.found == said.replace("{torch}", "2.7.0")
    assert (found.status == "ok") == ("installed" in said)


def test_a_package_of_one_environment_has_the_range_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "environments", lambda: {"oldest": OLD, "newest": NEW})
    found = versions.ranges.__wrapped__()
    assert {name: str(one) for name, one in found.items()} == {
        "torch": "0.1 to 99",
        "ray": "0.1",
        "onnx": "99",
    }


def test_this_environment_is_written_down_beside_the_other(tmp_path: Path) -> None:
    file = tmp_path / "versions.json"
    file.write_text('{"newest": {"torch": "99"}}')
    written("oldest", file)
    found = json.loads(file.read_text())
    assert list(found) == ["oldest", "newest"]
    assert found["newest"] == {"torch": "99"}
    assert found["oldest"] == tested_versions.installed()


def test_another_environment_than_the_declared_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested_versions, "version", lambda name: "0.1" if name == "torch" else "999")
    with pytest.raises(ValueError, match=r"not what pyproject\.toml declares: torch is 0\.1, not >=2\.7$"):
        written("newest", tmp_path / "versions.json")
    assert not list(tmp_path.iterdir())
