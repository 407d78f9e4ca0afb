"""llama.cpp in this process: a GGUF file is run as it ships, by the kernels that its quantization is made for."""

from kick.engines.llama_cpp.kind import ENGINE

__all__ = ["ENGINE"]
