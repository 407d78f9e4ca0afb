"""What is measured on a checkpoint, as records: its stored weights, and what loading and running it take."""

from pydantic import Field

from kick.types.base import Record


class LinearWeights(Record):
    """One Linear of the decoder blocks, as it is stored."""

    name: str  # of the module
    format: str  # "dense", a packed layout such as "pack-quantized" or "gptq", or a type of GGUF
    dtype: str  # of the stored values
    weights: int  # that it stands for
    zeros: int | None  # None: several weights to a value, not counted
    bytes: int  # with scales, zero points and the like, without its bias
    value_bits: float  # bits that a weight takes without those
    group_size: float | None  # weights that share a scale; None: there are no scales

    @property
    def bits(self) -> float:
        """Effective bits a weight, scales included."""
        return 8 * self.bytes / self.weights


class StoredAs(Record):
    """The Linears of a checkpoint that are stored alike."""

    format: str
    dtype: str
    value_bits: float  # lowest of them
    group_size: float | None
    linears: int
    weights: int
    bytes: int


class Description(Record):
    """What was measured on the stored weights of a checkpoint; nothing in it is believed from a config."""

    architecture: str
    parameters: int
    nonzero: int
    linear_parameters: int  # in the Linears of the decoder blocks: what compression acts on
    linear_zeros: int
    sparsity: float  # linear_zeros / linear_parameters
    sparsity_min: float  # of the least sparse Linear
    sparsity_max: float  # of the most sparse Linear
    bytes_on_disk: int  # of the weight files
    bits_per_weight: float  # 8 * bytes_on_disk / parameters
    stored_dtypes: dict[str, int]  # tensor elements by stored dtype
    quant_method: str | None = None  # as the config declares it
    packed: int = 0  # parameters stored several to a value: they count as non-zero, whatever they are
    nm_violations: float | None = None  # share of groups that break the recipe's N:M pattern
    active: int | None = None  # parameters that a token goes through; None: the config does not tell
    linear_bytes: int = 0  # of the decoder Linears, scales included
    linear_bits_per_weight: float | None = None  # 8 * linear_bytes / linear_parameters
    tensor_bytes: int = 0  # of all tensors: what a loader holds that keeps them as they are stored
    layers: tuple[float, ...] = ()  # sparsity of each decoder layer, first to last
    patterns: dict[str, float] = Field(
        default_factory=dict
    )  # N:M -> share of groups that break it, of the Linears that are not packed
    stored_as: tuple[StoredAs, ...] = ()  # how the decoder Linears are stored, most weights first

    @property
    def ideal_bytes(self) -> int:
        """An ideal size, which no file has: the zeros of the decoder Linears left out under a mask of one bit a weight.

        As on disk where that is less, and where weights are packed.
        """
        if self.packed:
            return self.bytes_on_disk
        width = self.linear_bits_per_weight or self.bits_per_weight
        saved = (self.linear_zeros * width - self.linear_parameters) / 8
        return min(self.bytes_on_disk, round(self.bytes_on_disk - saved))


class Ratio(Record):
    """How many times smaller a checkpoint is than its reference."""

    reference: str
    stored: float  # bytes of the weight files
    linears: float  # bytes of the decoder Linears
    ideal: float  # bytes of the reference's weight files / the ideal size


class Declared(Record):
    """What a checkpoint says about its own compression."""

    source: str  # the file that says it
    method: str
    bits: tuple[float, ...] = ()
    group_size: int | None = None
    sparsity: float | None = None  # 0..1
    pattern: str | None = None  # "N:M"
    partly: bool = False  # it names Linears that are left out
    # Other steps came after it.
    followed: bool = False


class Speed(Record):
    """How fast a checkpoint generates: greedy, one prompt at a time; medians of `repeats` after a warm-up."""

    prefill: float  # tokens of the prompt a second, until the first new token is there
    decode: float  # new tokens a second after it
    prompt_tokens: int
    new_tokens: int
    batch: int
    repeats: int
    simulated: (
        bool  # weights rounded and not packed, or unpacked to run, or keys and values rounded at each reading
    )
    backend: str  # library, attention, dtype, device, threads


class Cost(Record):
    """What loading and running a checkpoint took, measured once in a run."""

    load_seconds: float  # with the checks of a strict load
    footprint: int  # bytes of parameters and buffers, before the first forward
    peak_memory: (
        int | None
    )  # bytes while it was loaded and timed: of the GPU, or resident of the whole process
    device: str  # cpu or cuda
    made_seconds: float | None = None  # calibrating and compressing, as kick.json tells
    speed: Speed | None = None  # None: too small, or it does not generate
