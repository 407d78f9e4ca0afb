"""The checkpoints of a report, and what was measured on their stored weights."""

from kick import text
from kick.reports.blocks import NOTHING, Row, Table, name, number, plain
from kick.reports.findings import Findings
from kick.types import CheckpointRecord, Description
from kick.types.provenance import making, step_in_words


def checkpoints(findings: Findings) -> Table:
    """Return one row per checkpoint with what was measured on its stored weights."""
    header = (
        plain("checkpoint"),
        plain("made by"),
        number("parameters"),
        number("non-zero"),
        number("zeros in the decoder linears", "(least to most pruned layer)"),
        number("stored weights"),
        number("bits per weight", "(whole model)"),
        plain("stored as"),
        *([plain("engine")] if _several_engines(findings) else []),
    )
    rows = tuple(_checkpoint_row(findings, checkpoint) for checkpoint in findings.checkpoints)
    note = (
        "Measured on the stored weights, not read from a config; in memory if they are quantized on loading. A "
        "checkpoint whose rounded weights are stored in 16 bits keeps the size of the dense one. If the decoder "
        "linears have other bits than the whole model, theirs are given below."
    )
    return Table("checkpoints", "Checkpoints", header, rows, note, sortable=True)


def _several_engines(findings: Findings) -> bool:
    return any(cell.identity.engine for cell in findings.cells())


def _checkpoint_row(findings: Findings, checkpoint: str) -> Row:
    if not _several_engines(findings):
        return _measured_row(findings, checkpoint)
    own = [cell.identity for cell in findings.cells() if cell.checkpoint == checkpoint]
    engines = dict.fromkeys(one.engine.text if one.engine else one.engine_release for one in own)
    return (*_measured_row(findings, checkpoint), plain(*(engines or [NOTHING])))


def _measured_row(findings: Findings, checkpoint: str) -> Row:
    record = findings.records.get(checkpoint)
    origin = plain("the reference" if checkpoint == findings.reference else NOTHING)
    if record is None:
        return (name(checkpoint), plain("not run"), *[plain(NOTHING)] * 6)
    if phrases := made_by(record):
        origin = plain(*phrases)
    measured = record.description
    if measured is None:
        return (name(checkpoint), origin, plain("not measured"), *[plain(NOTHING)] * 5)
    dtypes = sorted(measured.stored_dtypes.items(), key=lambda pair: -pair[1])
    stored = ", ".join(dtype for dtype, _ in dtypes)
    pattern = (
        () if measured.nm_violations is None else (f"N:M broken in {text.share(measured.nm_violations)}",)
    )
    return (
        name(checkpoint),
        origin,
        number(text.size(measured.parameters), sort=measured.parameters),
        number(
            text.size(measured.nonzero),
            text.share(measured.nonzero / max(measured.parameters, 1)),
            sort=measured.nonzero,
        ),
        number(
            text.share(measured.sparsity),
            f"({text.share(measured.sparsity_min)} to {text.share(measured.sparsity_max)})",
            *pattern,
            sort=measured.sparsity,
        ),
        number(text.bytes_(measured.bytes_on_disk), sort=measured.bytes_on_disk),
        number(f"{measured.bits_per_weight:.2f}", *_linear_bits(measured), sort=measured.bits_per_weight),
        plain(
            stored,
            *([f"quantizer: {measured.quant_method}"] if measured.quant_method else []),
            *record.loading,
            *(f"simulated: {what}" for what in record.simulated),
        ),
    )


def made_by(record: CheckpointRecord) -> tuple[str, ...]:
    """Return how a checkpoint was made and is read, one phrase each; none for one that is scored as it is."""
    phrases = [recipe(record)] if record.step else []
    if record.checkpoint.kv_bits is not None:
        phrases.append(f"keys and values in {record.checkpoint.kv_bits} bits")
    return tuple(phrases)


def _linear_bits(measured: Description) -> tuple[str, ...]:
    """Return the bits of the decoder linears, if they are not those of the whole model."""
    bits = measured.linear_bits_per_weight
    return () if bits is None or abs(bits - measured.bits_per_weight) < 0.1 else (f"linears {bits:.2f}",)


def recipe(record: CheckpointRecord) -> str:
    """Return how a checkpoint was made: `magnitude, 50 % zeros, then rtn, 4 bits, groups of 128, symmetric`.

    A recipe that is declared, because kick did not make the checkpoint, begins with `declared:`.
    """
    if record.recipe is not None:
        return making(record.recipe)
    assert record.step is not None
    return f"declared: {step_in_words(record.step, declared=True)}"
