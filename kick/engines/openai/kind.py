"""The engine `openai` as a suite names it: its arguments, and how a server is asked what it runs."""

from pydantic import BaseModel, ConfigDict, Field

from kick.engines.base import (
    EngineOrder,
    EnginePlan,
    Format,
    LoadedEngine,
    ModelFiles,
    read_arguments,
    require,
)
from kick.errors import InputError

NAME = "openai"
KEY_VARIABLE = "KICK_OPENAI_API_KEY"


class Arguments(BaseModel):
    """`engine_args` of a checkpoint on a server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The name by which the server knows the model; default: the only one that it serves.
    model: str | None = None
    # The tokens that fit; default: what the server says.
    context_length: int | None = Field(default=None, ge=2)
    # Requests that are in flight at a time.
    concurrency: int = Field(default=8, ge=1, le=256)
    # Seconds that a request may take.
    timeout: float = Field(default=300.0, gt=0)
    # Attempts after one that failed: no connection, a timeout, a rate limit, or an error of the server.
    retries: int = Field(default=6, ge=0, le=50)
    # The name of the environment variable that holds the key.
    key_variable: str = Field(default=KEY_VARIABLE, pattern=r"^[A-Za-z_]\w*$")


class OpenAIKind:
    """The engine `openai`."""

    formats: frozenset[Format] = frozenset({"server"})

    def plan(self, order: EngineOrder) -> EnginePlan:
        """Ask the server what it runs; see `kick.engines.base.EngineKind`."""
        require(NAME, "openai", "openai")
        from kick.engines.openai.client import connect

        if order.server is None:
            raise InputError(
                "the engine openai asks a server. Give its address as the model, such as "
                "`model: http://127.0.0.1:8000/v1`."
            )
        arguments = read_arguments(NAME, order.arguments, Arguments)
        served = connect(order.server, arguments).served
        window = arguments.context_length or served.window
        if window is None:
            raise InputError(
                f"{order.server} does not say how many tokens fit its model. Set engine_args.context_length."
            )
        return EnginePlan(
            version=served.version,
            settings={"server": order.server, "model": served.model},
            # A server forms batches of the requests that are in flight.
            batching=f"{NAME}/{_concurrency(arguments, order)}",
            capabilities=frozenset({"score", "generate"}),
            dtype="as served",
            window=window,
            model=f"{order.server} {served.model}",
        )

    def load(self, files: ModelFiles, order: EngineOrder) -> LoadedEngine:
        """Try what the server can do; see `kick.engines.base.EngineKind`."""
        from kick.checkpoints import read_tokenizer
        from kick.engines.openai.client import connect
        from kick.engines.openai.engine import ServerEngine
        from kick.engines.openai.probe import probe

        assert order.server is not None
        arguments = read_arguments(NAME, order.arguments, Arguments)
        server = connect(order.server, arguments)
        tokenizer = read_tokenizer(files.tokenizer, files.trust_remote_code)
        probed = probe(server, tokenizer)
        engine = ServerEngine(server, probed, tokenizer, self.plan(order), _concurrency(arguments, order))
        return LoadedEngine(engine, memory=0, loading=probed.phrases, refusals=probed.refusals)


ENGINE = OpenAIKind()


def _concurrency(arguments: Arguments, order: EngineOrder) -> int:
    """Return the requests in flight at a time: fewer for a noise floor, whose batches are smaller."""
    return max(1, min(arguments.concurrency, order.batch.rows))
