"""`kick tasks`: list the tasks, show one as a model sees it, and check that they are fair to their items."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from kick.harness.checks import TaskCheck
    from kick.suite.catalog import Catalog

# The number of items that are named per fault of a task.
EXAMPLES = 3


def tasks(
    action: Annotated[
        Literal["ls", "show", "check"],
        typer.Argument(help="ls: all tasks; show: one task; check: whether tasks are fair to their items."),
    ] = "ls",
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Tasks or groups; of `check`: all tasks when left out.", show_default=False),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="check, show: a local mirror of the data sets. Default: the hub.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="check: the folder whose tokenizer and window items must fit. show: whose tokens."),
    ] = None,
    item: Annotated[
        int | None, typer.Option(min=0, help="show: the item to render, from 0.", show_default=False)
    ] = None,
    include: Annotated[
        list[Path] | None, typer.Option(help="A folder with further task YAML. Repeat for several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List the tasks by family, show one, or check them.

    `show` prints a task's YAML; with --data-root, --model or --item it prints a rendered prompt, its tokens (--model),
    the gold answer and the floors. `check` renders every prompt and scores answerers without knowledge. Exit code 1 if
    a task is unfit (its reference is in the prompt, an item is among its own shots, its chance level is not stated or
    wrong), 3 if the data of one are not there.
    """
    from kick.errors import InputError
    from kick.suite.catalog import read_catalog

    catalog = read_catalog(include or ())
    for option, folder in (("--data-root", data_root), ("--model", model)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{option}: {folder} is not a folder.")
    if item is not None and action != "show":
        raise InputError(f"kick tasks {action}: --item is an option of `kick tasks show`.")
    if action == "check":
        chosen = catalog.expand(names, "kick tasks check") if names else sorted(catalog.tasks)
        _check(catalog, chosen, include or (), data_root, model, as_json)
    elif action == "show":
        if names is None or len(names) != 1:
            raise InputError("kick tasks show: give the name of a task. `kick tasks` lists them.")
        if data_root or model or item is not None:
            _show_item(catalog, names[0], item or 0, include or (), data_root, model, as_json)
        else:
            _show(catalog, names[0], as_json)
    elif data_root or model:
        raise InputError(
            f"kick tasks {action}: --data-root and --model are options of `kick tasks check` and `kick tasks show`."
        )
    elif names:
        raise InputError(f"kick tasks ls: it takes no names. `kick tasks show {names[0]}` shows one task.")
    else:
        _list(catalog, as_json)


def _list(catalog: "Catalog", as_json: bool) -> None:
    from rich.table import Table

    from kick.cli.output import table_console

    entries = sorted(catalog.tasks.values(), key=lambda task: (task.info.family, task.info.name))
    if as_json:
        print(json.dumps([{**task.info.model_dump(mode="json"), "items": task.items} for task in entries]))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("task", "family", "items", "metric", "shots", "chance", "grouped by"):
        table.add_column(title, justify="right" if title in ("items", "shots", "chance") else "left")
    for task in entries:
        info = task.info
        items = "-" if task.items is None else f"{task.items:,}"
        chance = "-" if info.chance is None else f"{info.chance:g}"
        table.add_row(
            info.name, info.family, items, info.metric, str(info.shots), chance, info.group_by or "-"
        )
    table_console().print(table)


def _show(catalog: "Catalog", name: str, as_json: bool) -> None:
    if name in catalog.groups:
        members = list(catalog.groups[name])
        group = json.dumps({"group": name, "tasks": members})
        print(group if as_json else f"# group {name}\n" + "\n".join(members))
        return
    catalog.expand([name], "kick tasks show")
    task = catalog.tasks[name]
    if as_json:
        print(json.dumps({"path": str(task.path), **task.info.model_dump(mode="json"), "items": task.items}))
    else:
        print(f"# {task.path}\n{task.path.read_text(encoding='utf-8')}", end="")


def _show_item(
    catalog: "Catalog",
    name: str,
    number: int,
    include: Sequence[Path],
    data_root: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    from kick.errors import InputError
    from kick.quiet import quiet_libraries

    quiet_libraries()
    if name in catalog.groups:
        raise InputError(
            f"kick tasks show: {name} is a group. Name one of {', '.join(catalog.groups[name])}."
        )
    catalog.expand([name], "kick tasks show")
    from kick.harness.inspection import show

    view = show(name, catalog, number=number, include=include, data_root=data_root, model=model)
    if as_json:
        print(json.dumps(view.model_dump(mode="json")))
        return
    print(f"# {name}: item {number} of {view.items:,}\n\n--- prompt ---\n{view.item.prompt}")
    if view.item.choices:
        print("--- choices ---", *(repr(choice) for choice in view.item.choices), sep="\n")
    print(f"--- gold ---\n{view.item.target}")
    if view.tokens is not None:
        print(f"--- {len(view.tokens):,} tokens ---", "|".join(view.tokens), sep="\n")
    print(f"--- floors ({view.floors.metric}, {view.floors.items:,} items) ---")
    for floor in view.floors.floors:
        print(f"{100 * floor.score:5.1f} %  {floor.answerer}")


def _check(
    catalog: "Catalog",
    names: Sequence[str],
    include: Sequence[Path],
    data_root: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    from kick.errors import InputError
    from kick.quiet import quiet_libraries

    quiet_libraries()
    from kick.harness.inspection import inspect
    from kick.progress import Reporter

    checks: list[TaskCheck] = []
    unchecked: dict[str, str] = {}
    with Reporter().stage("checking tasks", len(names)) as advance:
        for name in names:
            try:
                checks.append(inspect(name, catalog, include=include, data_root=data_root, model=model))
            except InputError as error:
                unchecked[name] = str(error)
            advance(1)
    failed = any(check.failures for check in checks)
    if as_json:
        documents = [{**check.model_dump(mode="json"), "notes": check.notes} for check in checks]
        print(json.dumps({"tasks": documents, "not_checked": unchecked}))
    else:
        _print(checks, unchecked)
    if failed or unchecked:
        raise typer.Exit(1 if failed else 3)


def _print(checks: "list[TaskCheck]", unchecked: dict[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from kick.cli.output import table_console

    table = Table(box=None, pad_edge=False)
    for title in ("task", "family"):
        table.add_column(title)
    for title in ("items", "of", "do not fit", "asked twice", "name the answer", "chance", "floor"):
        table.add_column(title, justify="right")
    table.add_column("by")
    table.add_column("reference")
    table.add_column("result")
    for check in checks:
        table.add_row(
            escape(check.task),
            check.family,
            f"{check.documents:,}",
            "-" if check.published is None else f"{check.published:,}",
            "-" if check.skipped is None else f"{len(check.skipped):,}",
            f"{check.duplicates:,}",
            f"{check.gold_in_question:,}",
            "-" if check.chance is None else f"{check.chance:g}",
            "-" if check.floors is None else f"{100 * check.floors.best.score:.1f} %",
            "-" if check.floors is None else escape(check.floors.best.answerer),
            "may be in the prompt" if check.answer_in_prompt else "must not",
            "UNFIT" if check.failures else "fit",
        )
    console = table_console()
    if checks:
        console.print(table)
    for check in checks:
        for kind in dict.fromkeys(finding.check for finding in check.failures):
            findings = [finding for finding in check.failures if finding.check == kind]
            examples = "; ".join(
                finding.detail if finding.doc_id is None else f"item {finding.doc_id}: {finding.detail}"
                for finding in findings[:EXAMPLES]
            )
            more = f" (and {len(findings) - EXAMPLES:,} more)" if len(findings) > EXAMPLES else ""
            console.print(f"{check.task}: {kind.replace('_', ' ')}: {examples}{more}", markup=False)
        for note in check.notes:
            console.print(f"{check.task}: {note}", markup=False)
        if check.floors:
            floors = "; ".join(f"{floor.answerer} {100 * floor.score:.1f} %" for floor in check.floors.floors)
            console.print(f"{check.task}: floors ({check.floors.metric}): {floors}", markup=False)
        if check.skipped:
            examples = "; ".join(f"item {item.doc_id} {item.reason}" for item in check.skipped[:EXAMPLES])
            more = f" (and {len(check.skipped) - EXAMPLES:,} more)" if len(check.skipped) > EXAMPLES else ""
            console.print(f"{check.task}: {len(check.skipped):,} do not fit: {examples}{more}", markup=False)
    for name, reason in unchecked.items():
        console.print(f"{name}: not checked: {reason}", markup=False)
