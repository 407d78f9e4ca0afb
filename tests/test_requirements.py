"""The versions that CI installs are those of constraints.txt, each with the hash of its file."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def name_of(requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None
    return match[0].lower().replace("_", "-").replace(".", "-")


def required() -> dict[str, str]:
    """Name -> version in .ci/requirements.txt, each line of which has to be pinned with a hash."""
    versions = {}
    for line in lines(ROOT / ".ci" / "requirements.txt"):
        match = _LINE.fullmatch(line)
        assert match is not None, line
        # A build of the same version for other hardware: 2.13.0+cpu.
        versions[match[1]] = match[2].partition("+")[0]
    return versions


def test_every_package_of_ci_has_the_version_of_the_constraints_and_a_hash() -> None:
    constraints = dict(line.split("==") for line in lines(ROOT / "constraints.txt"))
    versions = required()
    assert versions == {name: constraints.get(name) for name in versions}


def test_every_package_that_development_needs_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for name in ("test", "dev", "gguf", "adapters") for one in extras[name]),
    ]
    missing = {name_of(one) for one in wanted} - required().keys() - {"llm-kick"}
    assert missing == set(), "run scripts/lock.py -c constraints.txt .[dev]"
