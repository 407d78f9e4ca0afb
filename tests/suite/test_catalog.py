"""The catalog of tasks: what their YAML says, and what is refused before anything heavy loads."""

from pathlib import Path

import pytest

from kick.errors import InputError
from kick.suite.catalog import Catalog, read_catalog

TASK = """
task: mine
output_type: generate_until
process_results: !function rules.score
metric_list: [{metric: hit, aggregation: mean, higher_is_better: true}]
"""


def _read(folder: Path, **files: str) -> Catalog:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return read_catalog([folder])


def test_every_packaged_task_states_a_family_and_every_group_names_tasks_that_exist() -> None:
    catalog = read_catalog()
    assert {task.info.family for task in catalog.tasks.values()} == {
        "factoid_qa",
        "multihop_reasoning",
        "incontext_qa",
        "summarization",
        "multiple_choice",
    }
    for group in catalog.groups:
        assert set(catalog.expand([group], "test")) <= set(catalog.tasks)


def test_a_task_of_ones_own_stands_beside_the_packaged_ones(tmp_path: Path) -> None:
    info = _read(tmp_path, mine=TASK).tasks["mine"].info
    assert (info.family, info.metric, info.chance, info.shots) == ("other", "hit", None, 0)


def test_groups_are_expanded_once_also_where_they_name_each_other(tmp_path: Path) -> None:
    catalog = _read(tmp_path, mine=TASK, a="group: a\ntask: [b, mine]\n", b="group: b\ntask: [a, mine]\n")
    assert catalog.expand(["a", "b"], "test") == ("mine",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TASK.replace("task: mine", "task: kick_squad"), "'kick_squad' is already defined in"),
        (TASK.replace("mean", "median"), "hit: kick takes the mean"),
        ("task: mine\nmetric_list: [{metric: f1}]\n", "f1 has no value for a single item"),
        ("task: mine\n", "metric_list: name at least one metric"),
        (TASK + "metadata: {family: factiod_qa}\n", "Did you mean 'factoid_qa'"),
        (TASK + "metadata: {metric: hti}\n", "Did you mean 'hit'"),
        (
            "group: mine\ntask: [{task: kick_mmlu, num_fewshot: 0}]\n",
            "kick takes no overrides inside a group",
        ),
        ("- a\n", "expected a mapping"),
        ("a: [\n", "cannot be read as YAML"),
    ],
)
def test_what_kick_cannot_score_is_refused_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        _read(tmp_path, mine=text)
    assert "mine.yaml" in str(caught.value)


def test_a_function_is_known_by_its_source_and_a_missing_one_is_named(tmp_path: Path) -> None:
    function = _read(tmp_path, mine=TASK).tasks["mine"].config["process_results"]
    with pytest.raises(InputError, match="there is no module 'rules'"):
        function.source()
    (tmp_path / "rules.py").write_text("def score(): ...\n")
    assert function.source() == b"def score(): ...\n"
    installed = read_catalog().tasks["kick_squad"].config["process_results"]
    assert b"def squad" in installed.source()


def test_files_that_include_each_other_or_nest_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="include: .*mine.yaml includes this file"):
        _read(tmp_path, mine="include: mine.yaml\n")
    (tmp_path / "mine.yaml").write_text("a: " + "[" * 2000 + "]" * 2000)
    with pytest.raises(InputError, match="nested more than 20 levels deep"):
        read_catalog([tmp_path])


def test_groups_are_clusters_unless_a_task_says_that_they_are_strata(tmp_path: Path) -> None:
    assert read_catalog().tasks["kick_mmlu"].info.grouping == "strata"
    assert _read(tmp_path, mine=TASK).tasks["mine"].info.grouping == "cluster"
    with pytest.raises(InputError, match="'subjects' is neither 'cluster' nor 'strata'"):
        _read(tmp_path, mine=TASK + "metadata: {grouping: subjects}\n")
