"""Reading weights from a folder, whoever wrote it: an adapter over a base, or all weights."""

from pathlib import Path

from agentrft.modeling.adapters import Adapters, load_adapters
from agentrft.modeling.weights import BaseWeights, load_tensors


def read_weights(folder: Path, base: BaseWeights) -> tuple[BaseWeights, Adapters | None]:
    """What `folder` holds, as weights of the shape of `base`: `base` itself and an adapter, or other weights and none.

    Raises:
        JobFailed: the folder's tensors are of another model.
    """
    if (folder / "adapter_config.json").is_file():
        return base, load_adapters(folder, base.config)
    return load_tensors(folder, base.config, base.embedding_VH.dtype), None
