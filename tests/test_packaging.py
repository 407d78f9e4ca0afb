"""The wheel carries what the package needs: installed elsewhere, it lists the tasks."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an empty environment that holds the wheel; its dependencies are lent by this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("llm_kick-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_installed_wheel_lists_the_tasks(installed: Path, tmp_path: Path) -> None:
    code = "import sys, kick; print(kick.__file__, file=sys.stderr); from kick.cli import main; main()"
    done = subprocess.run(
        [installed, "-I", "-c", code, "tasks", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(installed.parent.parent) in done.stderr.splitlines()[0]
    listed = {task["name"] for task in json.loads(done.stdout)}
    assert {"kick_freebaseqa", "kick_mmlu", "kick_hotpotqa", "kick_squad", "kick_cnn_dailymail"} <= listed


def test_the_installed_wheel_carries_the_published_values_and_policies(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path; import kick; root = Path(kick.__file__).parent;"
        "print(*(root / '_paper').glob('*.csv'), *(root / 'gating' / 'packaged').glob('*.yaml'))"
    )
    done = subprocess.run(
        [installed, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "llm_kick_paper.csv" in done.stdout
    assert "regression.yaml" in done.stdout
