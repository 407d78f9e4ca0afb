"""The engine floor: what the engine alone changes, where reference and candidate were scored on different ones."""

from kick.errors import InputError
from kick.store import Store
from kick.types import Cell


def floor_checkpoint(store: Store, reference: Cell, candidate: Cell) -> str | None:
    """Return the id of the checkpoint that is the reference on the engine of a candidate; None: their engine is one.

    The first such checkpoint of the suite is taken: one with the reference's weights (by its fingerprint, or compared
    tensor by tensor in another format), scored by the candidate's release of the engine on the reference's plan.

    Raises:
        InputError: the reference was not scored on the candidate's engine.
    """
    engine = candidate.identity.engine_release
    if reference.identity.engine_name == candidate.identity.engine_name:
        return None
    weights = reference.identity.checkpoint
    for entry in store.suite().get("checkpoints", []):
        record = store.checkpoint(str(entry["id"]))
        if record is None or weights not in (record.fingerprint, record.same_weights_as):
            continue
        cell = store.cell(record.checkpoint.id, reference.task.name)
        if cell is None or cell.identity.plan.hash != candidate.identity.plan.hash:
            continue
        if cell.identity.engine_release == engine:
            return record.checkpoint.id
    name = candidate.identity.engine_name
    raise InputError(
        f"'{candidate.checkpoint}' cannot be compared with '{reference.checkpoint}' on {reference.task.name}: they "
        f"were scored on different engines ({reference.identity.engine_release} | {engine}), and nothing says what the "
        f"engine alone changes. Score the reference on {name}, too: add a checkpoint with `engine: {name}`, and either "
        f"`base: {reference.checkpoint}` or, for its weights in another format, `model` and `weights_of: "
        f"{reference.checkpoint}`. See docs/engines.md."
    )
