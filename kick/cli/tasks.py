"""`kick tasks`: what there is to score."""

import json
from typing import Annotated, Literal

import typer


def tasks(
    action: Annotated[
        Literal["ls", "show"], typer.Argument(help="ls: all tasks; show: one task's YAML.")
    ] = "ls",
    name: Annotated[str | None, typer.Argument(help="The task to show.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List the tasks by family, or show one."""
    from rich.table import Table

    from kick.catalog import read_catalog
    from kick.cli.output import table_console
    from kick.errors import InputError

    catalog = read_catalog()
    if action == "show":
        if name is None:
            raise InputError("kick tasks show: give the name of a task. `kick tasks` lists them.")
        if name in catalog.groups:
            members = list(catalog.groups[name])
            print(
                json.dumps({"group": name, "tasks": members})
                if as_json
                else f"# group {name}\n" + "\n".join(members)
            )
            return
        catalog.expand([name], "kick tasks show")
        task = catalog.tasks[name]
        if as_json:
            print(json.dumps({"path": str(task.path), **task.info.model_dump(mode="json")}))
        else:
            print(f"# {task.path}\n{task.path.read_text(encoding='utf-8')}", end="")
        return
    infos = sorted((task.info for task in catalog.tasks.values()), key=lambda info: (info.family, info.name))
    if as_json:
        print(json.dumps([info.model_dump(mode="json") for info in infos]))
        return
    table = Table("task", "family", "metric", "shots", "chance", "grouped by", box=None, pad_edge=False)
    for info in infos:
        chance = "-" if info.chance is None else f"{info.chance:g}"
        table.add_row(info.name, info.family, info.metric, str(info.shots), chance, info.group_by or "-")
    table_console().print(table)
