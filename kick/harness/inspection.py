"""One task of the catalog, loaded, rendered whole and checked: the work of `kick tasks check` and `kick tasks show`."""

from collections.abc import Sequence
from pathlib import Path

from kick.checkpoints import read_config, read_tokenizer
from kick.engines.torch.window import context_window
from kick.errors import InputError
from kick.harness.checks import RenderedItem, TaskCheck, check_task, rendered
from kick.harness.encoding import Encoder
from kick.harness.floors import floors_of
from kick.harness.plan import build_requests, make_plan, render
from kick.harness.tasks import load_tasks
from kick.suite.catalog import Catalog
from kick.types import Floors, Record

# The seed of lm-eval's few-shot sampler that suites have if they name none.
SEED = 1234


class ShownItem(Record):
    """One item as `kick tasks show` prints it."""

    item: RenderedItem
    # The number of items of the task in the data at hand.
    items: int
    # The prompt, token by token, as the model's tokenizer decodes each; None: no model was given.
    tokens: tuple[str, ...] | None
    floors: Floors


def inspect(
    name: str,
    catalog: Catalog,
    *,
    include: Sequence[Path] = (),
    data_root: Path | None = None,
    model: Path | None = None,
) -> TaskCheck:
    """Check every item of a task, and score the answerers without knowledge on it.

    Args:
        name: the task's name.
        catalog: the catalog that declares it.
        include: the folders of the catalog in addition to the packaged one.
        data_root: a local mirror of the data; the hub if left out.
        model: the folder of a checkpoint, whose tokenizer and window decide which items fit; without one that is not
            checked.

    Raises:
        InputError: the data are not there, no item fits the window, or the task cannot be rendered without a tokenizer.
    """
    loaded = load_tasks([name], catalog, include=include, data_root=data_root, tokenizer=model)[0]
    task = render(loaded, limit=None, seed=SEED)
    items = rendered(loaded, task.instances, task.doc_ids)
    if model is None:
        check = check_task(loaded, items)
    else:
        plan = make_plan(task, Encoder(read_tokenizer(model)), window=context_window(read_config(model)))
        check = check_task(loaded, items, plan.skipped)
    return check.model_copy(update={"floors": floors_of(loaded)})


def show(
    name: str,
    catalog: Catalog,
    *,
    number: int = 0,
    include: Sequence[Path] = (),
    data_root: Path | None = None,
    model: Path | None = None,
) -> ShownItem:
    """Render one item of a task as a model sees it.

    Args:
        name: the task's name.
        catalog: the catalog that declares it.
        number: the item's position in the data, from 0.
        include: the folders of the catalog in addition to the packaged one.
        data_root: a local mirror of the data; the hub if left out.
        model: the folder of a checkpoint, whose tokenizer splits the prompt.

    Raises:
        InputError: the data are not there, or there is no such item.
    """
    loaded = load_tasks([name], catalog, include=include, data_root=data_root, tokenizer=model)[0]
    total = len(loaded.task.eval_docs)
    if not 0 <= number < total:
        raise InputError(f"--item {number}: {name} has the items 0 to {total - 1:,} in the data at hand.")
    item = rendered(loaded, build_requests(loaded, [number], SEED), [number])[0]
    tokens = None
    if model is not None:
        tokenizer = read_tokenizer(model)
        tokens = tuple(tokenizer.decode([token]) for token in Encoder(tokenizer).encode(item.prompt))
    return ShownItem(item=item, items=total, tokens=tokens, floors=floors_of(loaded))
