"""`rlhf-losses serve`: scores over HTTP, in the dialects of RL systems."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from rlhf_losses.cli.argument_parser import ArgumentParser
from rlhf_losses.cli.scorer_arguments import (
    add_overlong_argument,
    add_transforms_argument,
    available_device,
    load_scorer,
    positive_integer,
)
from rlhf_losses.cli.training_runs import require_model
from rlhf_losses.hooks import transform_registry
from rlhf_losses.layouts import LayoutName
from rlhf_losses.scoring import Scorer
from rlhf_losses.serving.server_process import serve
from rlhf_losses.serving.server_settings import ServedPath, ServerSettings, require_distinct

logger = logging.getLogger(__name__)

KEY = "RLHF_LOSSES_API_KEY"
"""Environment variable with the key, which other users of the computer do not see."""

LARGEST_BATCH = 4096
"""Number of texts in a forward pass, which the number of tokens limits first."""

DEFAULTS = ServerSettings()


@dataclass(frozen=True)
class ModelLoader:
    """Loads the models of a process.

    Attributes:
        models: names and paths.
        transforms: string form of the score transforms, or None.
        overlong: treatment of texts that are too long, or None for that of the training.
        device: a device of torch, or None.
        dtype: dtype of the weights.
        layout: layout of the texts.
        trust_remote_code: whether Python code that comes with a model is executed.
        plugins: plugin files.
    """

    models: tuple[ServedPath, ...]
    transforms: str | None
    overlong: Any
    device: str | None
    dtype: str
    layout: LayoutName
    trust_remote_code: bool
    plugins: tuple[str, ...]

    def __call__(self) -> list[tuple[str, Scorer]]:
        """Return names and reward models."""
        return [(one.name, self._load(one.path)) for one in self.models]

    def _load(self, path: str) -> Scorer:
        scorer = load_scorer(
            path,
            batch_size=LARGEST_BATCH,
            device=self.device,
            dtype=getattr(torch, self.dtype),
            layout=self.layout,
            trust_remote_code=self.trust_remote_code,
        ).with_overlong(self.overlong)
        return scorer if self.transforms is None else scorer.with_transforms(self.transforms, self.plugins)


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses serve",
        description="Serve reward models over HTTP to OpenRLHF, verl, vLLM and SGLang clients, slime, LLaMA-Factory, "
        "NeMo Gym, ms-swift, text-embeddings-inference clients and RemoteScorer.",
    )
    parser.add_argument(
        "--model",
        "--model_name_or_path",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="folder or Hub id of a reward model, and its name in requests; repeatable",
    )
    add_transforms_argument(parser)
    add_overlong_argument(parser)
    parser.add_argument(
        "--device", type=available_device, help="e.g. cpu or cuda:0 (default: the accelerator, if there is one)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="dtype of the weights"
    )
    parser.add_argument(
        "--layout",
        choices=("auto", "padded", "packed", "prefix_shared"),
        default="auto",
        help="layout of the texts in a forward pass (default: common beginnings are computed once)",
    )
    parser.add_argument(
        "--trust_remote_code", action="store_true", help="execute Python code that comes with the model"
    )
    parser.add_argument(
        "--host", default=DEFAULTS.host, help="address to listen at; others need --api_key or --no_auth"
    )
    parser.add_argument("--port", type=int, default=DEFAULTS.port, help="TCP port, 0 for a free one")
    parser.add_argument(
        "--api_key", default=os.environ.get(KEY), help=f"key that requests must send (default: the variable {KEY})"
    )
    parser.add_argument("--no_auth", action="store_true", help="let everyone who reaches --host send requests")
    _add_limits(parser)
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Serve models until a signal."""
    args = build_parser().parse(argv)
    names = {one.name for one in fields(ServerSettings)}
    settings = ServerSettings(**{name: value for name, value in vars(args).items() if name in names})
    models = tuple(ServedPath.parse(one) for one in args.model)
    require_distinct(models)
    if args.transforms is not None:
        transform_registry(plugins).parse(args.transforms)
    for one in models:
        require_model(one.path, "--model", trust_remote_code=args.trust_remote_code)
    load = ModelLoader(
        models, args.transforms, args.overlong, args.device, args.dtype, args.layout, args.trust_remote_code, plugins
    )
    serve(load, settings, announce=lambda address: _announce(address, models))


def _add_limits(parser: ArgumentParser) -> None:
    numbers: Sequence[tuple[str, Any, str]] = (
        ("workers", positive_integer, "number of processes, each with its own copy of the models"),
        ("batch_tokens", positive_integer, "largest number of tokens in a forward pass; on a CPU 2,048 at most"),
        ("batch_wait", float, "seconds to wait for further texts before a forward pass that is not full"),
        ("cache_size", int, "number of recent scores that are kept per model; 0 keeps none"),
        ("max_texts", positive_integer, "largest number of texts in a request"),
        ("max_body_mb", float, "largest size of a request, in MiB"),
        ("max_queue", positive_integer, "largest number of texts that wait, per model"),
        ("max_requests", positive_integer, "largest number of requests in progress"),
        ("queue_timeout", float, "seconds that a request waits for a place in the queue before it is answered 503"),
        ("request_timeout", float, "seconds until a request without an answer is answered 503"),
        ("read_timeout", float, "seconds within which the body of a request must arrive"),
        ("drain_timeout", float, "seconds that requests in progress get after SIGTERM"),
    )
    for name, kind, text in numbers:
        default = getattr(DEFAULTS, name)
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} (default: {default:g})")


def _announce(address: str, models: Sequence[ServedPath]) -> None:
    names = ", ".join(one.name for one in models)
    logger.info("Serving %s at %s. OpenAPI page: %s/docs. Ctrl-C stops the server.", names, address, address)
