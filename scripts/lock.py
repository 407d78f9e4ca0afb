"""Print every package that pip would install on this platform, at its version, with the hash of its file.

Nothing is installed. Where the lines are required with their hashes, an index that hands out another file under the
same version is refused. constraints.txt is where versions of kick's own packages are changed; then:

    .venv/bin/python scripts/lock.py -c constraints.txt '.[dev]' > .ci/requirements.txt
    .venv/bin/python scripts/lock.py pip-audit cyclonedx-bom > .ci/tools.txt
"""

import argparse
import json
import platform
import subprocess
import sys


def locked(packages: list[str], constraints: str | None) -> list[str]:
    """Return one line per package, in the order of their names: `name==version --hash=sha256:...`.

    Args:
        packages: what to install, as pip takes it.
        constraints: a file of versions that pip has to take.
    """
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    options += ["-c", constraints] if constraints else []
    command = [sys.executable, "-m", "pip", "install", *options, *packages]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    lines = []
    for package in report["install"]:
        # A folder, as kick itself, has no archive.
        if archive := package["download_info"].get("archive_info"):
            metadata = package["metadata"]
            name = metadata["name"].lower().replace("_", "-").replace(".", "-")
            lines.append(f"{name}=={metadata['version']} --hash=sha256:{archive['hashes']['sha256']}")
    return sorted(lines)


def main() -> None:
    """Print the lines below a comment that says for which platform they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", help="what to install, as pip takes it")
    parser.add_argument("-c", "--constraints", help="a file of versions that pip has to take")
    options = parser.parse_args()
    lines = locked(options.packages, options.constraints)
    python = ".".join(platform.python_version_tuple()[:2])
    print(f"# Made by scripts/lock.py for Python {python} on {sys.platform} {platform.machine()}.")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
