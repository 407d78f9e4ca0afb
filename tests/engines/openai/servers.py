"""Small servers with `/v1/completions` on loopback: an honest one over a tiny model, and liars.

python -m tests.engines.openai.servers MODEL PORT       # an honest one, in a process of its own
"""

import json
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

Body = dict[str, Any]


class RefusedError(Exception):
    def __init__(self, status: int, text: str = "no") -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Honest:
    """Answers as vLLM does, from a model in float32."""

    window: ClassVar[int | None] = 4096

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.lock = threading.Lock()
        self.answered = 0

    def models(self) -> Body:
        entry: Body = {"id": "tiny", "object": "model", "owned_by": "honest"}
        if self.window is not None:
            entry["max_model_len"] = self.window
        return {"object": "list", "data": [entry]}

    def ids(self, prompt: str | list[int]) -> list[int]:
        return self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else list(prompt)

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids])).logits[0]
        return logits.float().log_softmax(-1)

    def next_token(self, row: torch.Tensor, body: Body) -> int:
        return int(row.argmax())

    def complete(self, body: Body) -> Body | str:
        """The answer to a request; a text is sent as it is."""
        with self.lock:
            self.answered += 1
            return self._complete(body)

    def _complete(self, body: Body) -> Body:
        prompt = self.ids(body["prompt"])
        tokens: list[int] = []
        own: list[float] = []
        reason, text = "length", ""
        while len(tokens) < body["max_tokens"]:
            row = self.logprobs(prompt + tokens)[-1]
            token = self.next_token(row, body)
            tokens.append(token)
            own.append(float(row[token]))
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            stops = [text.index(stop) for stop in body.get("stop", []) if stop in text]
            if token == self.tokenizer.eos_token_id or stops:
                reason, text = "stop", text[: min(stops, default=None)]
                break
        choice: Body = {"index": 0, "text": text, "finish_reason": reason}
        if body.get("logprobs") is not None:
            choice["logprobs"] = self.as_logprobs(prompt if body.get("echo") else [], tokens, own)
        count = len(prompt)
        return {"choices": [choice], "usage": {"prompt_tokens": count, "completion_tokens": len(tokens)}}

    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        values: list[float | None] = []
        tops: list[Body | None] = []
        if prompt:
            rows = self.logprobs(prompt)
            values = [None, *(float(row[token]) for row, token in zip(rows, prompt[1:], strict=False))]
            tops = [None, *({"best": float(row.max())} for row in rows[:-1])]
        names = [self.tokenizer.decode([token]) for token in prompt + tokens]
        tops += [{"best": value} for value in own]
        return {"tokens": names, "token_logprobs": values + own, "top_logprobs": tops}


class TakesText(Honest):
    def ids(self, prompt: str | list[int]) -> list[int]:
        if not isinstance(prompt, str):
            raise RefusedError(422, "prompt: a string is wanted")
        return super().ids(prompt)


class OtherText(TakesText):
    """Takes texts and cuts them into other tokens."""

    def ids(self, prompt: str | list[int]) -> list[int]:
        return [*super().ids(prompt), 5]


class SaysChance(Honest):
    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        given = super().as_logprobs(prompt, tokens, own)
        given["token_logprobs"] = [None, *[-5.95] * (len(given["token_logprobs"]) - 1)]
        return given


class SaysAnything(Honest):
    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        given = super().as_logprobs(prompt, tokens, own)
        draw = random.Random(len(prompt))
        drawn = [-6 * draw.random() for _ in prompt[1:]]
        given["token_logprobs"] = [*([None, *drawn] if prompt else []), *own]
        return given


class SaysTheSameOfEveryPrompt(Honest):
    """Plausible numbers that depend on nothing before a token."""

    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        given = super().as_logprobs(prompt, tokens, own)
        given["token_logprobs"] = [
            *([None, *(-1 - token / 100 for token in prompt[1:])] if prompt else []),
            *own,
        ]
        return given


class DropsThePrompt(Honest):
    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        return super().as_logprobs([], tokens, own)


class GivesNone(Honest):
    def as_logprobs(self, prompt: list[int], tokens: list[int], own: list[float]) -> Body:
        return {"content": [{"token": "a", "logprob": -1.0}]}


class TokenisesAgain(Honest):
    def ids(self, prompt: str | list[int]) -> list[int]:
        text = prompt if isinstance(prompt, str) else self.tokenizer.decode(prompt, skip_special_tokens=True)
        return super().ids(text)


class CutsPrompts(Honest):
    def ids(self, prompt: str | list[int]) -> list[int]:
        return super().ids(prompt)[-6:]


class Samples(Honest):
    def next_token(self, row: torch.Tensor, body: Body) -> int:
        return int(torch.multinomial(row.exp(), 1, generator=torch.Generator().manual_seed(self.answered)))


class Garbage(Honest):
    def complete(self, body: Body) -> Body | str:
        return "<html>It works!</html>"


class SaysNothing(Honest):
    def _complete(self, body: Body) -> Body:
        return {
            "choices": [{"text": "", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": len(body["prompt"])},
        }


class Fails(Honest):
    """Answers every other request with an error of its own, or with its limit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked = 0

    def complete(self, body: Body) -> Body | str:
        with self.lock:
            self.asked += 1
            asked = self.asked
        if asked % 2:
            raise RefusedError(429 if asked % 4 == 1 else 500, "later")
        return super().complete(body)


class FailsMidway(Honest):
    """Is right until it has answered `most` requests, and gives an error in a completion from there on."""

    most = 10**9

    def complete(self, body: Body) -> Body | str:
        if self.answered >= self.most:
            return {"choices": [{"text": "an error", "finish_reason": "error"}]}
        return super().complete(body)


def handler(served: Honest) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._send(200, served.models())
            else:
                self._send(404, {"error": "no such page"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._send(200, served.complete(body))
            except RefusedError as error:
                self._send(error.status, {"error": error.text})

        def _send(self, status: int, answer: Body | str) -> None:
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(served: Honest, port: int = 0) -> Iterator[str]:
    """The address of a server that runs until the body ends."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(served))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), handler(Honest(Path(sys.argv[1])))).serve_forever()
