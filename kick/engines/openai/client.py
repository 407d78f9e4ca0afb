"""A server with `/v1/completions`: requests go out with retries, and an answer that is not one is an error.

No answer is repaired: what is missing or of another form is said, with the beginning of what came.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import openai
from pydantic import BaseModel, ValidationError

from kick.errors import InputError

# Characters of an answer that a message quotes.
EXCERPT = 200
# The keys by which servers say how many tokens fit.
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length")


class BadAnswerError(Exception):
    """A server answered, and the answer is not one to the request."""


class ServerArguments(Protocol):
    """The arguments of a checkpoint that the connection needs."""

    @property
    def model(self) -> str | None:
        """The name by which the server knows the model; None: the only one that it serves."""

    @property
    def timeout(self) -> float:
        """Seconds that a request may take."""

    @property
    def retries(self) -> int:
        """Attempts after one that failed."""

    @property
    def key_variable(self) -> str:
        """The name of the environment variable that holds the key."""


@dataclass(frozen=True)
class Served:
    """The model that a server runs, as it says."""

    model: str
    version: str
    # The tokens that fit; None: it does not say.
    window: int | None


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    text: str
    # True if the budget ended it.
    cut: bool
    # Tokens of the prompt as the server counts them; None: it does not say.
    prompt_tokens: int | None
    # One value per token, None for the first of a prompt; None: no log-probabilities in the form of completions.
    logprobs: tuple[float | None, ...] | None
    # The largest log-probability at each of these tokens.
    best: tuple[float | None, ...]
    # These tokens, as text.
    tokens: tuple[str, ...]


class _Logprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(BaseModel):
    text: str
    finish_reason: str | None = None
    logprobs: Any = None


class _Usage(BaseModel):
    prompt_tokens: int


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class Server:
    """A connection to a server.

    Args:
        url: its address, as far as `/v1`.
        served: the model that is asked for.
        client: sends requests, and sends them again if that may help.
    """

    def __init__(self, url: str, served: Served, client: openai.OpenAI) -> None:
        self.url, self.served = url, served
        self._client = client

    def complete(
        self,
        prompt: Sequence[int] | str,
        budget: int,
        *,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int = 0,
        echo: bool = False,
        logprobs: bool = False,
    ) -> Answer:
        """Return the answer to one request.

        Args:
            prompt: token ids, or a text.
            budget: new tokens at most.
            stop: strings that end the text.
            temperature: 0 for the most probable tokens.
            seed: the seed of tokens that are drawn.
            echo: repeat the prompt in front of the answer, with its log-probabilities if these are wanted.
            logprobs: give log-probabilities.

        Raises:
            BadAnswerError: what came is not an answer to the request.
            InputError: nothing came, after all attempts.
        """
        body: dict[str, Any] = {
            "model": self.served.model,
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "max_tokens": budget,
            "temperature": temperature,
            "seed": seed,
        }
        if stop:
            body["stop"] = list(stop)
        if echo:
            body["echo"] = True
        if logprobs:
            body["logprobs"] = 1
        return _read(_send(self._client, self.url, "/completions", body).text)


def connect(url: str, arguments: ServerArguments) -> Server:
    """Return a connection to a server that runs the model that is asked for.

    Raises:
        InputError: the server does not answer, or does not serve the model.
    """
    client = openai.OpenAI(
        base_url=url,
        # Servers that want none still get one.
        api_key=os.environ.get(arguments.key_variable) or "none",
        timeout=arguments.timeout,
        max_retries=arguments.retries,
    )
    try:
        response = _send(client, url, "/models", None)
        models = {str(entry["id"]): entry for entry in response.json()["data"]}
    except BadAnswerError as error:
        raise InputError(f"{url}: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{url}/models does not list models: {response.text[:EXCERPT]!r}") from None
    name = arguments.model
    if name is None and len(models) == 1:
        (name,) = models
    if name is None or (models and name not in models):
        asked = f"does not serve '{name}'" if name else "serves several models"
        raise InputError(
            f"{url} {asked}. Set engine_args.model to one of: {', '.join(sorted(models)) or 'none'}."
        )
    entry = models.get(name) or {}
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    stated = [entry.get(key) for key in _WINDOWS] + [(meta or {}).get("n_ctx_train")]
    window = next((value for value in stated if isinstance(value, int) and value > 1), None)
    served = Served(name, _version(url, str(entry.get("owned_by") or "unnamed server")), window)
    return Server(url, served, client)


def _version(url: str, owner: str) -> str:
    """Return the server's own name, with its version where it tells one as vLLM does."""
    try:
        version = httpx.get(f"{url.removesuffix('/v1')}/version", timeout=5).json()["version"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return owner
    return f"{owner} {version}"


def _send(client: openai.OpenAI, url: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
    """Send a request, and again if the connection, a limit or the server's own fault kept it from being answered."""
    try:
        response: httpx.Response = (
            client.get(path, cast_to=httpx.Response)
            if body is None
            else client.post(path, body=body, cast_to=httpx.Response)
        )
    except openai.APITimeoutError:
        raise InputError(
            f"{url} did not answer in time. Raise engine_args.timeout, or lower concurrency."
        ) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        raise InputError(f"{url} cannot be reached ({cause}). Start the server, and run again.") from None
    except openai.AuthenticationError:
        raise InputError(
            f"{url} refuses the key. Put the right one into the environment variable that "
            "engine_args.key_variable names (default: KICK_OPENAI_API_KEY)."
        ) from None
    except openai.APIStatusError as error:
        detail = error.response.text[:EXCERPT]
        if error.status_code >= 500 or error.status_code == 429:
            raise InputError(
                f"{url} answers with status {error.status_code}, again and again: {detail!r}"
            ) from None
        raise BadAnswerError(f"it refuses a request with status {error.status_code}: {detail!r}") from None
    return response


def _read(text: str) -> Answer:
    try:
        completion = _Completion.model_validate_json(text)
    except ValidationError:
        raise BadAnswerError(f"it answers 200 with what is not a completion: {text[:EXCERPT]!r}") from None
    if len(completion.choices) != 1:
        raise BadAnswerError(f"it gives {len(completion.choices)} completions for one prompt")
    (choice,) = completion.choices
    if choice.finish_reason not in ("stop", "length"):
        raise BadAnswerError(f"it ends a completion for the reason {choice.finish_reason!r}")
    usage = completion.usage
    try:
        given = None if choice.logprobs is None else _Logprobs.model_validate(choice.logprobs)
    except ValidationError:
        given = None
    tops = (given.top_logprobs if given else None) or []
    return Answer(
        text=choice.text,
        cut=choice.finish_reason == "length",
        prompt_tokens=usage.prompt_tokens if usage else None,
        logprobs=tuple(given.token_logprobs) if given else None,
        best=tuple(max(top.values()) if top else None for top in tops),
        tokens=tuple(given.tokens) if given else (),
    )
