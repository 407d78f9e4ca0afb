"""`kick demo`: the embedded default, end to end."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    results: Annotated[Path, typer.Option(help="The folder of the results.")] = Path("demo-results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Score two small models of a synthetic world, compressed in two ways; offline, in minutes."""
    started = time.monotonic()
    from kick.quiet import quiet_libraries

    quiet_libraries()
    from kick.execution.runner import run
    from kick.reports import write_findings
    from kick.reports.demo_story import story
    from kick.store import Store
    from kick.suite import Suite

    summary = run(Suite.read("demo"), results, cache=results / "made")
    store = Store(results)
    findings, pages = write_findings(store, results / "report", ["md", "html"])
    seconds = time.monotonic() - started
    if as_json:
        counts = {"results": str(results), "scored": summary.scored, "reused": summary.reused}
        print(json.dumps({**counts, "seconds": round(seconds, 1), "files": [str(page) for page in pages]}))
        return
    print(story(findings))
    print(f"\nThe report: {results / 'report' / 'report.html'} (and report.md). {seconds:.0f} s in all.")
