"""Requests through a server, several at a time; every response is kept as it comes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from kick.engines.base import (
    Capability,
    Completion,
    EnginePlan,
    Generate,
    LogLikelihood,
    Progress,
    Request,
    Response,
    Score,
    TokenScores,
    as_entry,
    as_response,
    journaled,
)
from kick.engines.openai.client import Answer, BadAnswerError, Server
from kick.engines.openai.probe import Probed, as_text, check_count, prompt_logprobs
from kick.engines.stops import before_stop, has_stop
from kick.errors import InputError
from kick.store import Journal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Nats by which a token may be below the best one and still be it: what a server rounds in its answer.
ROUNDING = 1e-4


class ServerEngine:
    """A server that answers requests.

    Args:
        server: the connection.
        probed: what the server can do.
        tokenizer: that of the model; it makes text of a prompt for a server that takes no ids.
        plan: what the keys of cells hold of the engine.
        concurrency: the number of requests in flight at a time.
    """

    name = "openai"

    def __init__(
        self,
        server: Server,
        probed: Probed,
        tokenizer: "PreTrainedTokenizerBase",
        plan: EnginePlan,
        concurrency: int,
    ) -> None:
        self.server, self.probed, self.tokenizer = server, probed, tokenizer
        self.version: str = plan.version
        self.settings: Mapping[str, str] = plan.settings
        self.concurrency = concurrency

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The kinds of requests that the server answers rightly, as tried."""
        return self.probed.capabilities

    def answer(
        self,
        requests: Sequence[Request],
        journal: Journal | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> list[Response]:
        """Answer requests; see `kick.engines.base.Engine`.

        Raises:
            InputError: a request was not answered, after all attempts. What was answered is in the journal.
        """
        entries = journaled(journal, requests)
        if progress:
            progress(len(entries))
        waiting = iter([place for place in range(len(requests)) if place not in entries])
        failure: Exception | None = None
        with ThreadPoolExecutor(self.concurrency) as pool:
            running: dict[Future[Response], int] = {}
            while True:
                while failure is None and len(running) < self.concurrency:
                    place = next(waiting, None)
                    if place is None:
                        break
                    running[pool.submit(self._respond, requests[place])] = place
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    if error := future.exception():
                        if not isinstance(error, InputError | BadAnswerError):
                            raise error
                        failure = error
                        continue
                    entry = as_entry(future.result())
                    if journal:
                        journal.append([place], [entry])
                    entries[place] = entry
                    if progress:
                        progress(1)
        if failure is not None:
            raise InputError(
                f"{self.server.url}: {str(failure).removeprefix(f'{self.server.url} ').removesuffix('.')}. "
                f"{len(entries)} of {len(requests)} requests were answered and are kept: run again to go on."
            ) from None
        return [as_response(request, entries[place]) for place, request in enumerate(requests)]

    def predict_tokens(
        self,
        requests: Sequence[Score],
        journal: Journal | None = None,
        *,
        keep: Path | None = None,
        reference_states: Path | None = None,
        alone: bool = False,
    ) -> list[TokenScores]:
        """Refuse: a server gives no distributions; see `kick.engines.base.Engine`."""
        raise InputError("a server gives no distributions of tokens. Set divergence: false.")

    def _respond(self, request: Request) -> Response:
        return self._score(request) if isinstance(request, Score) else self._complete(request)

    def _score(self, request: Score) -> LogLikelihood:
        prompt = [*request.context, *request.continuation]
        answer = self.server.complete(prompt, 1, echo=True, logprobs=True)
        values = prompt_logprobs(prompt, answer)[len(request.context) - 1 :]
        best = answer.best[len(request.context) : len(prompt)]
        greedy = len(best) == len(values) and all(
            top is not None and value >= top - ROUNDING for value, top in zip(values, best, strict=True)
        )
        return LogLikelihood(sum(values), greedy)

    def _complete(self, request: Generate) -> Completion:
        """Return a completion; one that begins with a stop string behind white space alone goes on without stops."""
        answer = self._ask(request, request.stop)
        if answer.text.strip() or answer.cut or not request.stop:
            cut = answer.cut and not has_stop(answer.text, request.stop)
            return Completion(before_stop(answer.text, request.stop), cut)
        whole = self._ask(request, ())
        return Completion(
            before_stop(whole.text, request.stop), whole.cut and not has_stop(whole.text, request.stop)
        )

    def _ask(self, request: Generate, stop: Sequence[str]) -> Answer:
        context = request.context
        answer = self.server.complete(
            context if self.probed.takes_ids else as_text(self.tokenizer, context),
            request.budget,
            stop=stop,
            temperature=request.temperature,
            seed=request.seed,
        )
        check_count(context, answer.prompt_tokens)
        return answer
