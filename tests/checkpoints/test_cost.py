import json
import sys
from pathlib import Path

import pytest

from kick.checkpoints import cost, describe, load
from kick.checkpoints.cost import measure_cost, measure_speed
from kick.checkpoints.loading import Loaded
from kick.cli import app


def load_tiny(folder: Path) -> Loaded:
    return load(folder, dtype="auto", device="cpu")


def test_prefill_and_decode_are_timed_apart_and_say_how(tiny_llama: Path) -> None:
    speed = measure_speed(load_tiny(tiny_llama))
    assert speed is not None
    assert (speed.prompt_tokens, speed.new_tokens, speed.batch, speed.repeats) == (128, 16, 1, 3)
    assert speed.prefill > speed.decode > 0  # 128 tokens at once against one by one
    assert not speed.simulated
    assert "float32" in speed.backend
    assert "cpu" in speed.backend


def test_a_prompt_leaves_room_in_the_window(tiny_llama: Path) -> None:
    loaded = load_tiny(tiny_llama)
    loaded.model.config.max_position_embeddings = 20
    speed = measure_speed(loaded)
    assert speed is not None
    assert speed.prompt_tokens == 4


def test_a_slow_checkpoint_is_timed_once(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "BUDGET", 0)
    speed = measure_speed(load_tiny(tiny_llama))
    assert speed is not None
    assert speed.repeats == 1


def test_the_speed_of_a_tiny_model_is_not_measured(tiny_llama: Path) -> None:
    _, taken = measure_cost(lambda: load_tiny(tiny_llama), tiny_llama, "cpu")
    assert taken.speed is None
    assert taken.load_seconds > 0
    assert taken.made_seconds is None
    buffers = 4 * 2 * 4  # the inverse frequencies of rotary positions, in use and original
    assert taken.footprint == describe(tiny_llama).tensor_bytes + buffers


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_the_peak_is_that_of_this_checkpoint_and_not_of_an_earlier_one(tiny_llama: Path) -> None:
    _, taken = measure_cost(lambda: load_tiny(tiny_llama), tiny_llama, "cpu")
    large = bytearray(2**29)
    large[::4096] = b"1" * len(large[::4096])
    del large
    _, later = measure_cost(lambda: load_tiny(tiny_llama), tiny_llama, "cpu")
    assert taken.peak_memory is not None
    assert later.peak_memory is not None
    assert abs(later.peak_memory - taken.peak_memory) < 2**28


def test_what_was_measured_before_on_the_same_device_is_kept(folder: Path) -> None:
    (folder / "kick.json").write_text(json.dumps({"recipe": {}, "seconds": 12.5}))
    _, taken = measure_cost(lambda: load_tiny(folder), folder, "cpu")
    assert taken.made_seconds == 12.5
    assert measure_cost(lambda: load_tiny(folder), folder, "cpu", taken)[1] is taken
    elsewhere = taken.model_copy(update={"device": "cuda"})
    assert measure_cost(lambda: load_tiny(folder), folder, "cpu", elsewhere)[1].device == "cpu"


def test_packed_weights_are_counted_before_they_are_unpacked_and_their_speed_is_simulated(
    w4a16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "SMALLEST", 0)
    loaded, taken = measure_cost(lambda: load_tiny(w4a16), w4a16, "cpu")
    assert taken.footprint == pytest.approx(describe(w4a16).tensor_bytes, rel=0.01)
    assert taken.footprint < loaded.model.get_memory_footprint()  # after the first forward
    assert taken.speed is not None
    assert taken.speed.simulated


def test_the_command_shows_what_loading_took(tiny_llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["describe", str(tiny_llama), "--load"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "before the first forward" in printed
    assert "tokens per second" in printed
