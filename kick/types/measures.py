"""Measurements on a checkpoint: its stored weights, and what loading and running it take."""

from pydantic import Field

from kick.types.base import Record


class LinearWeights(Record):
    """One Linear of the decoder blocks, as it is stored."""

    # The name of the module.
    name: str
    # "dense", a packed layout such as "pack-quantized" or "gptq", or a type of GGUF.
    format: str
    # The dtype of the stored values.
    dtype: str
    # The number of weights that the stored values represent.
    weights: int
    # None: several weights are packed into one value, and zeros are not counted.
    zeros: int | None
    # Stored bytes with scales, zero points and the like, without the bias.
    bytes: int
    # Bits per weight without scales, zero points and the like.
    value_bits: float
    # Weights that share a scale; None: there are no scales.
    group_size: float | None

    @property
    def bits(self) -> float:
        """Effective bits per weight, scales included."""
        return 8 * self.bytes / self.weights


class StoredAs(Record):
    """The Linears of a checkpoint that are stored alike."""

    format: str
    dtype: str
    # The fewest bits per weight among them, without scales.
    value_bits: float
    group_size: float | None
    # How many Linears there are, their weights, and their bytes.
    linears: int
    weights: int
    bytes: int


class Description(Record):
    """Measurements on the stored weights of a checkpoint; nothing in it is believed from a config."""

    architecture: str
    parameters: int
    nonzero: int
    # Parameters in the Linears of the decoder blocks: what compression acts on.
    linear_parameters: int
    linear_zeros: int
    # linear_zeros / linear_parameters, 0..1; then the sparsity of the least and of the most sparse Linear.
    sparsity: float
    sparsity_min: float
    sparsity_max: float
    # Bytes of the weight files.
    bytes_on_disk: int
    # 8 * bytes_on_disk / parameters.
    bits_per_weight: float
    # Tensor elements by stored dtype.
    stored_dtypes: dict[str, int]
    # The quantization method that the config declares.
    quant_method: str | None = None
    # Parameters that are stored several to a value; they count as non-zero, whatever they are.
    packed: int = 0
    # The share of groups that break the recipe's N:M pattern, 0..1.
    nm_violations: float | None = None
    # Parameters that one token goes through; None: the config does not tell.
    active: int | None = None
    # Bytes of the decoder Linears, scales included.
    linear_bytes: int = 0
    # 8 * linear_bytes / linear_parameters.
    linear_bits_per_weight: float | None = None
    # Bytes of all tensors: what a loader holds if it keeps them as they are stored.
    tensor_bytes: int = 0
    # The sparsity of each decoder layer, first to last.
    layers: tuple[float, ...] = ()
    # N:M pattern -> the share of groups that break it, over the Linears that are not packed.
    patterns: dict[str, float] = Field(default_factory=dict)
    # How the decoder Linears are stored, most weights first.
    stored_as: tuple[StoredAs, ...] = ()

    @property
    def ideal_bytes(self) -> int:
        """The ideal size, which no file has: zeros of the decoder Linears left out under a mask of one bit per weight.

        It is the size on disk where that is less, and where weights are packed.
        """
        if self.packed:
            return self.bytes_on_disk
        width = self.linear_bits_per_weight or self.bits_per_weight
        saved = (self.linear_zeros * width - self.linear_parameters) / 8
        return min(self.bytes_on_disk, round(self.bytes_on_disk - saved))


class Ratio(Record):
    """The factor by which a checkpoint is smaller than its reference."""

    # The reference's checkpoint id.
    reference: str
    # The ratio of the bytes of the weight files.
    stored: float
    # The ratio of the bytes of the decoder Linears.
    linears: float
    # Bytes of the reference's weight files / the ideal size of the checkpoint.
    ideal: float


class Declared(Record):
    """The statement of a checkpoint about its own compression."""

    # The file that says it.
    source: str
    method: str
    bits: tuple[float, ...] = ()
    group_size: int | None = None
    # The share of zeros, 0..1.
    sparsity: float | None = None
    # "N:M".
    pattern: str | None = None
    # The file names Linears that are left as they were.
    partly: bool = False
    # Other steps came after it.
    followed: bool = False


class Speed(Record):
    """The speed of generation: greedy, one prompt at a time; medians of `repeats` after a warm-up."""

    # Prompt tokens per second, until the first new token is there.
    prefill: float
    # New tokens per second after the first one.
    decode: float
    prompt_tokens: int
    new_tokens: int
    batch: int
    repeats: int
    # Weights are rounded and not packed, or unpacked to run, or keys and values are rounded at each reading: another
    # implementation would be faster.
    simulated: bool
    # Library, attention, dtype, device, threads.
    backend: str


class Cost(Record):
    """The time and memory that loading and running a checkpoint took, measured once per run."""

    # Seconds, with the checks of a strict load.
    load_seconds: float
    # Bytes of parameters and buffers, before the first forward.
    footprint: int
    # Bytes while the checkpoint was loaded and timed: on the GPU, or resident in the whole process.
    peak_memory: int | None
    # "cpu" or "cuda".
    device: str
    # Seconds that calibrating and compressing took, as `kick.json` tells.
    made_seconds: float | None = None
    # None: the model is too small to time, or does not generate.
    speed: Speed | None = None
