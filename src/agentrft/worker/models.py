"""Models on this machine: from a row of the store to weights in memory, each base loaded once."""

import asyncio
import json
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from agentrft.chat import chat_format
from agentrft.domain.errors import JobFailed
from agentrft.domain.training import LoraConfig
from agentrft.modeling.adapters import Adapters, load_adapters, merge, new_adapters
from agentrft.modeling.convert import convert_gguf, find_package_gguf
from agentrft.modeling.weights import BaseWeights, load_weights
from agentrft.ports import ChatFormat
from agentrft.store.rows import ModelRow
from agentrft.training.policy import FullPolicy, LoraPolicy
from agentrft.worker.device import release_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model's parts, all but the base's weights: `ModelLoader.weights` reads those when they are needed."""

    shapes: BaseWeights  # of the base: tensors without content
    adapters: Adapters | None  # None for a base model or full weights
    chat: ChatFormat
    folder: Path  # of the base: config and tokenizer
    weights_folder: Path  # of the base's weights


class ModelLoader:
    """Finds, converts, loads and remembers. `cache_dir` holds what was converted."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._bases: dict[Path, BaseWeights] = {}
        self._lock = asyncio.Lock()
        self._reading = threading.Lock()

    async def load(self, model: ModelRow) -> LoadedModel:
        """The parts of `model`.

        Raises:
            JobFailed: its files are missing or of a kind that cannot be run.
        """
        async with self._lock:
            return await asyncio.to_thread(self._load, model)

    def weights(self, loaded: LoadedModel) -> BaseWeights:
        """The base's weights; read once, however many models stand on them. Blocks."""
        folder = loaded.weights_folder
        with self._reading:
            if folder not in self._bases:
                self._bases[folder] = load_weights(folder, torch.bfloat16)
            return self._bases[folder]

    def start_policy(self, loaded: LoadedModel, lora: LoraConfig | None, seed: int) -> LoraPolicy | FullPolicy:
        """What a job trains from `loaded`: a new adapter, the adapter it has, or all weights. Blocks.

        An adapter comes without the content of its base: whoever runs its passes reads that.

        Raises:
            JobFailed: the model has an adapter of another shape than the job wants.
        """
        if lora is None:
            base = self.weights(loaded)
            return FullPolicy(base if loaded.adapters is None else merge(base, loaded.adapters))
        if loaded.adapters is None:
            return LoraPolicy(loaded.shapes, new_adapters(loaded.shapes, lora, seed))
        if loaded.adapters.lora != lora:
            had = loaded.adapters.lora.rank
            raise JobFailed(
                f"The model was trained with LoRA rank {had}, the job asks for rank {lora.rank}. "
                f"Set agentrft.lora_rank to {had}, or full_weights to true.",
                code="invalid_value",
                param="model",
            )
        return LoraPolicy(loaded.shapes, loaded.adapters)

    def _load(self, model: ModelRow) -> LoadedModel:
        base_folder = self._folder(model.base_source)
        chat = _chat(base_folder)
        own = self._folder(model.source) if model.fine_tuned else base_folder
        if model.fine_tuned and (own / "adapter_config.json").is_file():
            shapes = _shapes(base_folder)
            adapters = load_adapters(own, shapes.config)
            return LoadedModel(
                shapes=shapes, adapters=adapters, chat=chat, folder=base_folder, weights_folder=base_folder
            )
        return LoadedModel(shapes=_shapes(own), adapters=None, chat=chat, folder=base_folder, weights_folder=own)

    def _folder(self, source: str) -> Path:
        kind, _, name = source.partition(":")
        if kind == "package":
            gguf = find_package_gguf(name)
            folder = convert_gguf(gguf, self._cache_dir / gguf.stem)
            release_memory()  # converting takes several times the model's size
            return folder
        return Path(name)


def _shapes(folder: Path) -> BaseWeights:
    if not (folder / "config.json").is_file():
        raise JobFailed(f"The model's files are gone from {folder.name!r}.", code="model_not_available")
    return load_weights(folder, torch.bfloat16, device="meta")


def _chat(folder: Path) -> ChatFormat:
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise JobFailed(
            f"The model in {folder.name!r} has no {missing[0]}: the file is gone or was never there. Put it back.",
            code="model_not_available",
        )
    config = json.loads((folder / "config.json").read_text())
    return chat_format(config, Tokenizer.from_file(str(folder / "tokenizer.json")))
