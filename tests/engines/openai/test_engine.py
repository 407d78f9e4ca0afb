"""Servers on loopback: an honest one gives torch's numbers, a liar is found, and a failure is never a wrong answer."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="the package openai is not installed")

from kick.checkpoints import load
from kick.engines.base import (
    EngineOrder,
    Generate,
    LoadedEngine,
    LogLikelihood,
    ModelFiles,
    Request,
    Score,
)
from kick.engines.openai import ENGINE
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize
from tests.engines.openai import servers
from tests.engines.openai.servers import Honest, serving
from tests.tiny import tokenizer

SIZE = BatchSize(tokens=8192, rows=16)
WORDS = tokenizer()


def ids(text: str) -> tuple[int, ...]:
    return tuple(WORDS(text)["input_ids"])


def continued(text: str) -> tuple[int, ...]:
    return tuple(WORDS(text, add_special_tokens=False)["input_ids"])


QUESTION = "the answer to the question is in the text:"
SCORES: list[Request] = [
    Score(ids(context), continued(choice))
    for context in (QUESTION, "where is it?", "a")
    for choice in (" the", " in the text", " answer")
]
COMPLETIONS: list[Request] = [
    Generate(ids(QUESTION), ("e",), 12),
    Generate(ids("where is it?"), (), 8),
    Generate(ids("who"), (" ", "t"), 12),
    Generate(ids("the text"), ("\n",), 6),
]


def order(url: str, **arguments: Any) -> EngineOrder:
    return EngineOrder({"retries": 2, "timeout": 30, **arguments}, SIZE, "cpu", url)


def ask(url: str, model: Path, **arguments: Any) -> LoadedEngine:
    return ENGINE.load(ModelFiles(model, model, "float32"), order(url, **arguments))


@pytest.fixture(scope="module")
def theirs(tiny_llama: Path) -> TorchEngine:
    return TorchEngine(load(tiny_llama, dtype="float32", device="cpu"), SIZE, "plain")


def test_an_honest_server_gives_the_numbers_of_the_model_that_it_runs(
    tiny_llama: Path, theirs: TorchEngine
) -> None:
    with serving(Honest(tiny_llama)) as url:
        plan = ENGINE.plan(order(url))
        assert (plan.version, plan.window) == ("honest", 4096)
        assert plan.settings == {"server": url, "model": "tiny"}
        loaded = ask(url, tiny_llama)
        assert loaded.engine.capabilities == {"score", "generate"}
        assert "log-probabilities of prompts were checked" in loaded.loading[1]
        ours = loaded.engine.answer([*SCORES, *COMPLETIONS])
    expected = theirs.answer([*SCORES, *COMPLETIONS])
    for one, other in zip(ours, expected, strict=True):
        if isinstance(one, LogLikelihood):
            assert isinstance(other, LogLikelihood)
            assert one.value == pytest.approx(other.value, abs=1e-3)
            assert one.greedy == other.greedy
        else:
            assert one == other


@pytest.mark.parametrize(
    ("liar", "reason"),
    [
        (servers.SaysChance, "every token of every prompt the log-probability -5.95: chance"),
        (servers.SaysAnything, "change by up to .* nats with what follows it"),
        (servers.SaysTheSameOfEveryPrompt, "do not depend on what comes before it: it drops the prompt"),
        (servers.DropsThePrompt, "it drops the log-probabilities of the prompt: 1 for "),
        (servers.GivesNone, "it gives no log-probabilities of a prompt"),
        (servers.TakesText, "it takes no token ids as a prompt .*status 422.*a string is wanted"),
    ],
)
def test_a_server_whose_log_probabilities_cannot_be_used_still_completes(
    liar: type[Honest], reason: str, tiny_llama: Path, theirs: TorchEngine
) -> None:
    with serving(liar(tiny_llama)) as url:
        loaded = ask(url, tiny_llama)
        assert loaded.engine.capabilities == {"generate"}
        assert loaded.engine.answer(COMPLETIONS) == theirs.answer(COMPLETIONS)
    assert re.search(reason, loaded.refusals["score"])


@pytest.mark.parametrize(
    ("liar", "reason"),
    [
        (servers.TokenisesAgain, "it tokenises prompts again: of .* token ids it made .* tokens"),
        (servers.CutsPrompts, "it drops or adds tokens of a prompt: of .* token ids it made 6 tokens"),
        (servers.Garbage, "answers 200 with what is not a completion: '<html>It works!"),
        (servers.Samples, "it is not greedy at a temperature of 0"),
        (servers.SaysNothing, "it completes every prompt with nothing"),
        (servers.OtherText, "a prompt of .* tokens had .* in the server: its tokenizer is another"),
    ],
)
def test_a_server_that_cannot_be_scored_at_all_is_refused_with_what_it_did(
    liar: type[Honest], reason: str, tiny_llama: Path
) -> None:
    with serving(liar(tiny_llama)) as url, pytest.raises(InputError, match=reason):
        ask(url, tiny_llama)


def test_errors_and_limits_of_a_server_are_waited_out(tiny_llama: Path, theirs: TorchEngine) -> None:
    with serving(servers.Fails(tiny_llama)) as url:
        engine = ask(url, tiny_llama, retries=8, concurrency=1).engine
        assert engine.answer(COMPLETIONS) == theirs.answer(COMPLETIONS)


def test_a_failed_request_ends_the_run_and_is_never_an_answer(
    tiny_llama: Path, tmp_path: Path, theirs: TorchEngine
) -> None:
    server = servers.FailsMidway(tiny_llama)
    with serving(server) as url:
        engine = ask(url, tiny_llama, concurrency=1).engine
        server.most = server.answered + 5
        journal = Journal(tmp_path / "journal.jsonl", "key")
        with pytest.raises(
            InputError, match="for the reason 'error'. 5 of 9 requests were answered and are kept"
        ):
            engine.answer(SCORES, journal)
        assert len(journal.read()) == 5
        server.most, before = 10**9, server.answered
        responses = engine.answer(SCORES, journal)
        assert server.answered == before + 4
    expected = theirs.answer(SCORES)
    for one, other in zip(responses, expected, strict=True):
        assert isinstance(one, LogLikelihood)
        assert isinstance(other, LogLikelihood)
        assert one.value == pytest.approx(other.value, abs=1e-3)


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(
    tiny_llama: Path, tmp_path: Path, theirs: TorchEngine
) -> None:
    port = free_port()
    journal = Journal(tmp_path / "journal.jsonl", "key")
    requests = [request for request in SCORES for _ in range(6)]
    server = start(tiny_llama, port)
    try:
        engine = ask(f"http://127.0.0.1:{port}/v1", tiny_llama, concurrency=2, retries=1).engine
        done = 0

        def kill_after(count: int) -> None:
            nonlocal done
            done += count
            if done == 20:
                server.send_signal(signal.SIGKILL)
                server.wait()

        with pytest.raises(
            InputError, match=r"cannot be reached.*2\d of 54 requests were answered and are kept"
        ):
            engine.answer(requests, journal, kill_after)
    finally:
        server.kill()
    kept = len(journal.read())
    assert 20 <= kept < 54
    server = start(tiny_llama, port)
    try:
        counted: list[int] = []
        responses = engine.answer(requests, journal, counted.append)
        assert counted == [kept, *[1] * (54 - kept)]
        assert engine.answer(requests, journal) == responses
    finally:
        server.kill()
    rows = [row for line in (tmp_path / "journal.jsonl").read_text().splitlines() for row in rows_of(line)]
    assert sorted(rows) == list(range(54))
    for one, other in zip(responses, theirs.answer(requests), strict=True):
        assert isinstance(one, LogLikelihood)
        assert isinstance(other, LogLikelihood)
        assert one.value == pytest.approx(other.value, abs=1e-3)


def rows_of(line: str) -> list[int]:
    rows: list[int] = json.loads(line)["rows"]
    return rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(model: Path, port: int) -> "subprocess.Popen[bytes]":
    server = subprocess.Popen([sys.executable, "-m", "tests.engines.openai.servers", str(model), str(port)])
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1)
        except OSError:
            time.sleep(0.1)
        else:
            return server
    raise AssertionError("the server did not start")


def test_a_server_that_is_not_there_or_serves_another_model_is_refused_in_words(tiny_llama: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(InputError, match=f"{url} cannot be reached"):
        ENGINE.plan(order(url, retries=0))
    with serving(Honest(tiny_llama)) as url:
        with pytest.raises(InputError, match="does not serve 'large'. Set engine_args.model to one of: tiny"):
            ENGINE.plan(order(url, model="large"))
        with pytest.raises(InputError, match="concurrency: "):
            ENGINE.plan(order(url, concurrency=0))
    with pytest.raises(InputError, match="asks a server. Give its address as the model"):
        ENGINE.plan(EngineOrder({}, SIZE, "cpu"))


def test_a_server_that_does_not_state_its_window_is_asked_for_it(tiny_llama: Path) -> None:
    server = Honest(tiny_llama)
    type(server).window = None
    try:
        with serving(server) as url:
            with pytest.raises(InputError, match="how many tokens fit.*engine_args.context_length"):
                ENGINE.plan(order(url))
            assert ENGINE.plan(order(url, context_length=512)).window == 512
    finally:
        type(server).window = 4096
