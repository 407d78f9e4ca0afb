"""Published values: read from their files, matched by method and kind of task, drawn as a share of their own dense."""

from pathlib import Path

import pytest

from kick.errors import InputError
from kick.reports.figures.curves import curve
from kick.reports.findings import Findings, gather
from kick.reports.published import Published, matching, read
from tests.reports.small import small_results
from tests.results import make_results

HEAD = "source,model,method,rate,axis,task,metric,value,n,note\n"


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    damage = {"dense": 0.0, "magnitude-0.1": 0.0, "magnitude-0.5": 0.4, "rtn-4": 0.1}
    tasks = ["kick_freebaseqa", "kick_cnn_dailymail", "perplexity_wikitext2"]
    return gather(
        make_results(tmp_path_factory.mktemp("p") / "r", items=20, windows=6, tasks=tasks, damage=damage)
    )


def lines(folder: Path, *rows: str) -> list[Published]:
    (folder / "values.csv").write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    return read(folder)


def test_the_packaged_values_hold_llm_kick_and_start_at_their_own_dense_score() -> None:
    found = {(line.source, line.model, line.method, line.task): line for line in read()}
    facts = found["arXiv 2310.01382 Table 3", "vicuna-7b-v1.3", "magnitude", "factoid_qa"]
    rate, share = facts.points[0]
    assert (rate, share) == (0.1, pytest.approx(61.74 / 65.44))
    assert facts.n == "1001"


def test_what_a_judge_model_graded_and_what_is_not_on_one_scale_is_left_out(tmp_path: Path) -> None:
    found = lines(
        tmp_path,
        "A,m-7b,magnitude,0,sparsity,instruction,judge,8,,",
        "A,m-7b,magnitude,0.5,sparsity,instruction,judge,4,,",
        "A,m-7b,magnitude,0,sparsity,factoid_qa,percent,60,,",
        "A,m-7b,magnitude,0.5,sparsity,factoid_qa,percent,30,,not on this scale: do not overlay",
    )
    assert found == []


def test_a_value_whose_source_gives_no_dense_score_is_left_out(tmp_path: Path) -> None:
    assert lines(tmp_path, "A,m-7b,gptq,8,bits,factoid_qa,percent,60,,") == []


def test_a_pattern_is_another_method_at_its_sparsity(tmp_path: Path) -> None:
    found = lines(
        tmp_path,
        "A,m-7b,dense,0,sparsity,mmlu,percent,50,,",
        "A,m-7b,wanda,2:4,sparsity,mmlu,percent,25,,",
    )
    assert [(line.method, line.points) for line in found] == [("wanda 2:4", ((0.5, 0.5),))]


def test_only_the_same_method_on_a_family_of_the_report_matches_and_the_smallest_model(
    tmp_path: Path, findings: Findings
) -> None:
    dense = [
        f"A,m-{size}b,dense,0,sparsity,{task},percent,50,,"
        for size in (7, 13)
        for task in ("factoid_qa", "mmlu")
    ]
    values = [
        "A,m-7b,magnitude,0.5,sparsity,factoid_qa,percent,25,,",
        "A,m-13b,magnitude,0.5,sparsity,factoid_qa,percent,40,,",
        "A,m-7b,wanda,0.5,sparsity,factoid_qa,percent,45,,",
        "A,m-7b,magnitude,0.5,sparsity,mmlu,percent,25,,",
    ]
    found = lines(tmp_path, *dense, *values)
    series = {group.name: group for group in findings.groups}
    chosen = matching(found, findings, series["magnitude"])
    assert [(line.model, line.method, line.family) for line in chosen] == [
        ("m-7b", "magnitude", "factoid_qa")
    ]
    assert matching(found, findings, series["rtn"]) == []


def test_a_curve_says_where_a_published_line_is_from_and_why_it_does_not_compare(
    tmp_path: Path, findings: Findings
) -> None:
    found = lines(
        tmp_path,
        "Paper 1 Table 2,m-7b,dense,0,sparsity,factoid_qa,percent,50,900,",
        "Paper 1 Table 2,m-7b,magnitude,0.5,sparsity,factoid_qa,percent,25,900,",
        "Paper 1 Table 2,m-7b,magnitude,0.9,sparsity,factoid_qa,percent,1,900,",
    )
    group = next(group for group in findings.groups if group.name == "magnitude")
    figure = curve(findings, group, found)
    words = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "factoid_qa of m-7b on 900 items, Paper 1 Table 2; off the scale: 1 of 2 points" in words
    assert "of other models, on other items with other prompts, without intervals" in words
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert "published: factoid_qa, m-7b" in [text.get_text() for text in legend.get_texts()]


def test_a_folder_without_values_and_a_row_without_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no CSV"):
        read(tmp_path)
    with pytest.raises(InputError, match="lacks value"):
        lines(tmp_path, "A,m-7b,gptq,8,bits,factoid_qa,percent,,,")


def test_small_results_match_nothing_published_but_perplexity(tmp_path: Path) -> None:
    found = gather(small_results(tmp_path / "r"))
    group = next(group for group in found.groups if group.name == "rtn")
    assert {line.family for line in matching(read(), found, group)} == {"perplexity"}
