"""The evaluation section of a model card, for whoever publishes a compressed checkpoint on the Hugging Face hub."""

import math

from huggingface_hub import EvalResult, ModelCardData

from kick import text
from kick.gating.rendering import summary_line
from kick.reports.blocks import NOTHING, Paragraph, Section, Table, name, number, plain
from kick.reports.findings import Findings
from kick.reports.formats.markdown import section
from kick.reports.tables import provenance
from kick.reports.tables.scores import SCORES_NOTE, metric, relative, verdict
from kick.types import Estimate, Family, TaskInfo

# The hub's names of tasks.
_TASK_TYPES: dict[Family, str] = {
    "factoid_qa": "question-answering",
    "multihop_reasoning": "question-answering",
    "incontext_qa": "question-answering",
    "summarization": "summarization",
    "multiple_choice": "multiple-choice",
    "perplexity": "text-generation",
    "other": "text-generation",
}


def card(findings: Findings, candidate: str) -> str:
    """Return the section with its metadata: `model-index` as YAML, then what is left of the reference on each task."""
    content = Section(
        key="evaluation",
        title="Evaluation",
        intro=_origin(findings, candidate),
        blocks=(_verdict(findings, candidate), _scores(findings, candidate), Paragraph(SCORES_NOTE)),
    )
    return "\n\n".join([_metadata(findings, candidate), *section(content, {})]) + "\n"


def _metadata(findings: Findings, candidate: str) -> str:
    results = [
        _result(task, score)
        for task in findings.tasks
        if (score := findings.entry(task, candidate).score) and math.isfinite(score.value)
    ]
    data = ModelCardData(model_name=candidate, eval_results=results or None)
    return f"---\n{data.to_yaml()}\n---"


def _result(task: TaskInfo, score: Estimate) -> EvalResult:
    return EvalResult(
        task_type=_TASK_TYPES[task.family],
        dataset_type=task.name,
        dataset_name=task.name,
        metric_type="perplexity" if task.kind == "text" else task.metric,
        metric_value=round(100 * score.value if text.is_share(task) else score.value, 2),
    )


def _origin(findings: Findings, candidate: str) -> str:
    cells = [cell for cell in findings.cells() if cell.checkpoint == candidate]
    record = findings.records.get(candidate)
    weights = f" Weights: {text.one_line(record.fingerprint[:16])}." if record else ""
    software = text.one_line(provenance.versions(cells), 600) or "nothing yet"
    return (
        f"Scored beside {text.one_line(findings.reference, 200)} on the same items with {software}.{weights}"
    )


def _verdict(findings: Findings, candidate: str) -> Paragraph:
    line = summary_line(findings.verdict(candidate))
    return Paragraph(
        f"Verdict by the policy {text.one_line(findings.verdicts.policy, 200)}: {text.one_line(line, 600)}."
    )


def _scores(findings: Findings, candidate: str) -> Table:
    header = (
        plain("task"),
        number("n"),
        number(f"reference: {findings.reference}"),
        number("this model"),
        number("left of the reference"),
    )
    rows = []
    for task in findings.tasks:
        mine, other = findings.entry(task, candidate), findings.entry(task, findings.reference)
        fields = [
            number(text.score(entry.score, task)) if entry.score else plain(entry.problem or NOTHING)
            for entry in (other, mine)
        ]
        n = number(str(mine.score.n)) if mine.score else plain(NOTHING)
        rows.append((name(task.name, metric(task)), n, *fields, number(relative(mine, task), *verdict(mine))))
    return Table("evaluation", "Evaluation", header, tuple(rows))
