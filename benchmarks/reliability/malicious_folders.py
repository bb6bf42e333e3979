"""Models, checkpoints and data that try to execute code: how many do, and how many end with a message.

    python -m benchmarks.reliability.malicious_folders
    python -m benchmarks.reliability.malicious_folders --only jinja_globals pickled_weights

Each case is a folder with code that writes a marker file. Commands read the folder while "y" waits on the standard
input. The result of a command is `executed` if the marker exists, `asked` if it read the standard input, `refused` if
it failed with a message of this package, `ignored` if it succeeded, and `traceback` for any other error.

The table is on the page docs/reliability.md.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from benchmarks._lib.study import argument_parser
from rlhf_losses.cli.main import main as command_line
from rlhf_losses.ppo.checkpoints import PPOState
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_tokenizer

Change = Callable[["Workplace"], None]
Action = Callable[["Workplace"], int]

SECONDS = 120
"""Time after which a command counts as hanging."""

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"


@dataclass(frozen=True)
class Workplace:
    """The folder of one case.

    Attributes:
        folder: a folder with `model` (a reward model), `policy` (a language model), `adapter`, `data` and `output`.
    """

    folder: Path

    @property
    def marker(self) -> Path:
        """Return the file that the code writes."""
        return self.folder / "executed"

    @property
    def code(self) -> str:
        """Return Python code that writes the marker."""
        return f"open({str(self.marker)!r}, 'w').close()\n"

    @property
    def pickle(self) -> Any:
        """Return an object whose unpickling writes the marker."""
        return _Payload(str(self.marker))

    def __truediv__(self, name: str) -> Path:
        """Return a path inside the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@dataclass(frozen=True)
class Case:
    """A way to execute code, and the commands that read the folder.

    Attributes:
        change: writes the code into a `Workplace`.
        actions: names of the commands, see `ACTIONS`.
    """

    change: Change
    actions: tuple[str, ...]


# Commands


def _run(*words: str | Path) -> Action:
    def action(place: Workplace) -> int:
        replaced = [str(word).replace("@", str(place.folder) + "/") for word in words]
        return command_line(replaced)

    return action


def _load_ppo_state(place: Workplace) -> int:
    PPOState.load(place / "model", 0, torch.device("cpu"))
    return 0


TRAINING = (
    "--output_dir", "@output", "--max_steps", "1", "--per_device_train_batch_size", "2", "--report_to", "none",
    "--bf16", "false", "--use_cpu",
)  # fmt: skip
TRAIN = ("train", "--loss", "bradley_terry")
ACTIONS: dict[str, Action] = {
    "score": _run("score", "--model", "@model", "--dataset", "@data/pairs.jsonl"),
    "score_adapter": _run("score", "--model", "@adapter", "--dataset", "@data/pairs.jsonl"),
    "score_chat": _run("score", "--model", "@model", "--dataset", "@data/chats.jsonl"),
    "score_standardized": _run(
        "score", "--model", "@model", "--dataset", "@data/pairs.jsonl", "--transforms", "standardize"
    ),
    "doctor": _run("doctor", "@model", "--policy", "@policy"),
    "inspect": _run("inspect", "--dataset", "@data/pairs.jsonl", "--model", "@model"),
    "inspect_folder": _run("inspect", "--dataset", "@data"),
    "inspect_tar": _run("inspect", "--dataset", "@data/rows.tar"),
    "inspect_arrow": _run("inspect", "--dataset", "@data/rows.arrow"),
    "inspect_pickle": _run("inspect", "--dataset", "@data/rows.pkl"),
    "plugins": _run("plugins"),
    "train": _run(*TRAIN, "--model", "@model", "--dataset", "@data/pairs.jsonl", *TRAINING),
    "train_adapter": _run(*TRAIN, "--model", "@adapter", "--dataset", "@data/pairs.jsonl", *TRAINING),
    "train_template": _run(
        *TRAIN, "--model", "@policy", "--dataset", "@data/pairs.jsonl", "--chat_template_path", "@model", *TRAINING
    ),
    "train_config": _run(
        *TRAIN, "--config", "@data/config.yaml", "--model", "@model", "--dataset", "@data/pairs.jsonl", *TRAINING
    ),
    "resume": _run(
        *TRAIN, "--model", "@policy", "--dataset", "@data/pairs.jsonl", *TRAINING, "--save_steps", "1",
        "--resume_from_checkpoint", "@checkpoint-1",
    ),
    "ppo_policy": _run(
        "ppo", "--model", "@policy", "--reward_model", "@model", "--dataset", "@data/pairs.jsonl", *TRAINING,
        "--max_completion_length", "4", "--num_generations", "2",
    ),
    "ppo_critic": _run(
        "ppo", "--model", "@policy", "--reward_model", "@model", "--critic", "@model", "--dataset",
        "@data/pairs.jsonl", *TRAINING, "--max_completion_length", "4",
    ),
    "ppo_state": _load_ppo_state,
}  # fmt: skip


# Ways to execute code


def _edit(place: Workplace, file: str, **values: Any) -> None:
    path = place / file
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | values))


def _auto_map(file: str, folder: str = "model", /, code: bool = True, **values: Any) -> Change:
    def change(place: Workplace) -> None:
        _edit(place, f"{folder}/{file}", **values)
        (place / f"{folder}/code.py").write_text(place.code)

    return change


def _template(source: str, folder: str = "model") -> Change:
    def change(place: Workplace) -> None:
        (place / f"{folder}/chat_template.jinja").write_text(source.replace("@marker", str(place.marker)) + TEMPLATE)

    return change


def _pickled(*files: str) -> Change:
    def change(place: Workplace) -> None:
        for file in files:
            torch.save(place.pickle, place / file)

    return change


def _only_pickled_weights(place: Workplace) -> None:
    (place / "model/model.safetensors").unlink()
    torch.save({"score.weight": place.pickle}, place / "model/pytorch_model.bin")


def _only_pickled_adapter(place: Workplace) -> None:
    (place / "adapter/adapter_model.safetensors").unlink()
    torch.save({"score.weight": place.pickle}, place / "adapter/adapter_model.bin")


def _index(name: str, target: str, pickled: bool) -> Change:
    def change(place: Workplace) -> None:
        (place / "model/model.safetensors").unlink()
        torch.save(place.pickle, place / "outside/weights.bin")
        weights = {"score.weight": target, "model.norm.weight": target}
        _edit(place, f"model/{name}", metadata={"total_size": 1}, weight_map=weights)
        if pickled:
            shutil.copy(place / "outside/weights.bin", place / "model/weights.bin")

    return change


def _huge_index(place: Workplace) -> None:
    (place / "model/model.safetensors").unlink()
    weights = {f"weight.{index}": f"model-{index:06}-of-200000.safetensors" for index in range(200_000)}
    _edit(place, "model/model.safetensors.index.json", metadata={"total_size": 2**60}, weight_map=weights)


def _huge_header(place: Workplace) -> None:
    (place / "model/model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


def _custom_generate(place: Workplace) -> None:
    for folder in ("model", "policy"):
        code = "def generate(*args, **kwargs):\n    pass\n"
        (place / f"{folder}/custom_generate/generate.py").write_text(place.code + code)
        (place / f"{folder}/custom_generate/requirements.txt").write_text("torch\n")
        _edit(place, f"{folder}/generation_config.json", custom_generate=str(place / folder), trust_remote_code=True)


def _entry_points(place: Workplace) -> None:
    for root in (place / "data", place / "model"):
        about = root / "evil-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[rlhf_losses]\nevil = evil_plugin\n")
        (root / "evil_plugin.py").write_text(place.code)


def _python_files(place: Workplace) -> None:
    names = ("__init__", "sitecustomize", "conftest", "data", "model", "plugin", "rlhf_losses_plugin_focal", "setup")
    for root in (place / "data", place / "model"):
        for name in names:
            (root / f"{name}.py").write_text(place.code)


def _loading_script(place: Workplace) -> None:
    shutil.rmtree(place / "data")
    (place / "data/data.py").write_text(place.code + "import datasets\nclass Data(datasets.GeneratorBasedBuilder): ...")


def _tar(place: Workplace) -> None:
    torch.save(place.pickle, place / "outside/0.pth")
    (place / "outside/0.pyd").write_bytes((place / "outside/0.pth").read_bytes())
    with tarfile.open(place / "data/rows.tar", "w") as file:
        for name in ("0.pth", "0.pyd"):
            file.add(place / f"outside/{name}", name)
        file.add(place / "outside/0.pth", "../../escaped.pkl")


def _arrow(place: Workplace) -> None:
    import pickle

    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(place.pickle),
    }
    schema = pa.schema([pa.field("prompt", pa.string(), metadata=metadata), pa.field("chosen", pa.string())])
    table = pa.table([["a"], ["b"]], schema=schema)
    with pa.OSFile(str(place / "data/rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)


def _pickled_rows(place: Workplace) -> None:
    import pickle

    (place / "data/rows.pkl").write_bytes(pickle.dumps(place.pickle))


def _yaml(place: Workplace) -> None:
    code = f"!!python/object/apply:builtins.open [{str(place.marker)!r}, 'w']"
    (place / "data/config.yaml").write_text(f"learning_rate: {code}\n")


def _readme_yaml(place: Workplace) -> None:
    code = f"!!python/object/apply:builtins.open [{str(place.marker)!r}, 'w']"
    (place / "data/README.md").write_text(f"---\nconfigs: {code}\n---\n")


def _metadata(**values: Any) -> Change:
    def change(place: Workplace) -> None:
        content = {"schema": 3, "loss": "bradley_terry", "feedback_types": ["Pairs"]}
        text = json.dumps(content | values).replace("@marker", str(place.marker))
        (place / "model/reward_model.json").write_text(text)

    return change


def _symlinks(place: Workplace) -> None:
    (place / "outside/config.py").write_text(place.code)
    (place / "model/tokenizer_config.json").unlink()
    (place / "model/tokenizer_config.json").symlink_to(place / "outside/config.py")
    (place / "model/model.safetensors").unlink()
    (place / "model/model.safetensors").symlink_to(place / "outside")


def _dangling_symlink(place: Workplace) -> None:
    (place / "model/config.json").unlink()
    (place / "model/config.json").symlink_to(place / "model/config.json")


def _nested_json(place: Workplace) -> None:
    (place / "model/config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def _binary(file: str) -> Change:
    def change(place: Workplace) -> None:
        (place / file).write_bytes(bytes(range(256)) * 4)

    return change


CODE = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
MODEL = ("score", "doctor", "train", "ppo_policy", "ppo_critic")
POLICY = ("ppo_policy", "train_template")
CHAT = ("score_chat", "doctor")
EVALUATED = "__import__('os').system('touch @marker')"

CASES: dict[str, Case] = {
    "auto_map_config": Case(_auto_map("config.json", model_type="other", auto_map=CODE), MODEL),
    "auto_map_model": Case(
        _auto_map("config.json", auto_map={"AutoModelForSequenceClassification": "code.Model"}), MODEL
    ),
    "auto_map_architecture": Case(_auto_map("config.json", architectures=["code.Model"], auto_map=CODE), MODEL),
    "auto_map_policy": Case(
        _auto_map("config.json", "policy", model_type="other", auto_map={**CODE, "AutoModelForCausalLM": "code.M"}),
        POLICY,
    ),
    "auto_map_tokenizer": Case(
        _auto_map("tokenizer_config.json", auto_map={"AutoTokenizer": ["code.T", "code.T"]}),
        (*MODEL, "inspect", "train_template"),
    ),
    "tokenizer_class": Case(
        _auto_map(
            "tokenizer_config.json", tokenizer_class="Custom", auto_map={"AutoTokenizer": ["code.Custom", None]}
        ),
        (*MODEL, "inspect", "train_template"),
    ),
    "auto_map_policy_tokenizer": Case(
        _auto_map("tokenizer_config.json", "policy", tokenizer_class="C", auto_map={"AutoTokenizer": ["code.C", None]}),
        (*POLICY, "doctor"),
    ),
    "auto_map_processor": Case(
        _auto_map("processor_config.json", processor_class="P", auto_map={"AutoProcessor": "code.P"}), MODEL
    ),
    "auto_map_policy_processor": Case(
        _auto_map("processor_config.json", "policy", processor_class="P", auto_map={"AutoProcessor": "code.P"}), POLICY
    ),
    "auto_map_image_processor": Case(
        _auto_map("preprocessor_config.json", "policy", auto_map={"AutoImageProcessor": "code.P"}), POLICY
    ),
    "auto_map_other_repository": Case(
        _auto_map("config.json", model_type="other", auto_map={"AutoConfig": "evil/repo--code.Config"}), MODEL
    ),
    "adapter_base_with_code": Case(
        _auto_map("config.json", "policy", model_type="other", auto_map={**CODE, "AutoConfig": "code.C"}),
        ("score_adapter", "train_adapter"),
    ),
    "adapter_auto_mapping": Case(
        _auto_map(
            "adapter_config.json", "adapter",
            auto_mapping={"base_model_class": "C", "parent_library": "code"}, auto_map=CODE, peft_type="LORA",
        ),
        ("score_adapter", "train_adapter"),
    ),
    "adapter_peft_type": Case(
        _auto_map("adapter_config.json", "adapter", peft_type="code.Custom"), ("score_adapter", "train_adapter")
    ),
    "pickled_adapter": Case(_only_pickled_adapter, ("score_adapter", "train_adapter")),
    "pickled_weights": Case(_only_pickled_weights, MODEL),
    "pickled_weights_beside_safetensors": Case(_pickled("model/pytorch_model.bin"), MODEL),
    "pickled_shards": Case(_index("pytorch_model.bin.index.json", "weights.bin", True), MODEL),
    "pickled_shards_outside": Case(_index("pytorch_model.bin.index.json", "../outside/weights.bin", False), MODEL),
    "shards_outside": Case(_index("model.safetensors.index.json", "../outside/weights.bin", False), MODEL),
    "pickle_named_safetensors": Case(_pickled("model/model.safetensors"), MODEL),
    "huge_index": Case(_huge_index, ("score",)),
    "huge_header": Case(_huge_header, ("score",)),
    "custom_generate": Case(_custom_generate, (*MODEL, "train_template")),
    "pickled_optimizer": Case(_pickled("checkpoint-1/optimizer.pt"), ("resume",)),
    "pickled_scheduler": Case(_pickled("checkpoint-1/scheduler.pt"), ("resume",)),
    "pickled_rng_state": Case(_pickled("checkpoint-1/rng_state.pth"), ("resume",)),
    "pickled_scaler": Case(_pickled("checkpoint-1/scaler.pt"), ("resume",)),
    "pickled_training_args": Case(
        _pickled("checkpoint-1/training_args.bin", "model/training_args.bin"), ("resume", "score", "train")
    ),
    "pickled_ppo_state": Case(_pickled("model/ppo_state_0.pt", "model/ppo_state-0.pt"), ("ppo_state",)),
    "jinja_subclasses": Case(
        _template("{{ ''.__class__.__mro__[1].__subclasses__()[0].__init__.__globals__ }}"), CHAT
    ),
    "jinja_globals": Case(
        _template("{{ cycler.__init__.__globals__.os.popen('touch @marker').read() }}"), CHAT
    ),
    "jinja_function_globals": Case(
        _template("{{ raise_exception.__globals__['__builtins__']['open']('@marker', 'w') }}"), CHAT
    ),
    "jinja_lipsum": Case(_template("{{ lipsum.__globals__['os'].system('touch @marker') }}"), CHAT),
    "jinja_attr_filter": Case(
        _template("{{ (messages|attr('__class__')|attr('__base__')|attr('__subclasses__'))() }}"), CHAT
    ),
    "jinja_format": Case(_template("{{ '{0.__class__.__base__.__subclasses__}'.format(messages) }}"), CHAT),
    "jinja_include": Case(_template("{% include '/etc/passwd' %}"), CHAT),
    "jinja_import": Case(_template("{% import 'os' as os %}{{ os.system('touch @marker') }}"), CHAT),
    "jinja_policy": Case(
        _template("{{ lipsum.__globals__['os'].system('touch @marker') }}", "policy"), ("ppo_policy", "train_template")
    ),
    "entry_points_in_data": Case(_entry_points, ("plugins", "inspect_folder", "score")),
    "python_files": Case(_python_files, ("inspect_folder", "score", "train")),
    "loading_script": Case(_loading_script, ("inspect_folder",)),
    "pickled_rows": Case(_pickled_rows, ("inspect_pickle", "inspect_folder")),
    "webdataset_with_pickles": Case(_tar, ("inspect_tar", "inspect_folder")),
    "arrow_extension_type": Case(_arrow, ("inspect_arrow", "inspect_folder")),
    "yaml_tags": Case(_yaml, ("train_config",)),
    "yaml_tags_in_readme": Case(_readme_yaml, ("inspect_folder",)),
    "loss_of_metadata": Case(_metadata(loss=EVALUATED), ("score",)),
    "transform_of_metadata": Case(_metadata(transforms={EVALUATED: {"mean": EVALUATED}}), ("score_standardized",)),
    "segmentation_of_metadata": Case(_metadata(segmentation=EVALUATED, score_position="end_of_steps"), ("score",)),
    "symlinks": Case(_symlinks, ("score", "train")),
    "symlink_to_itself": Case(_dangling_symlink, ("score", "train")),
    "nested_json": Case(_nested_json, ("score", "train")),
    "binary_tokenizer": Case(_binary("model/tokenizer.json"), ("score", "train", "inspect")),
    "binary_config": Case(_binary("model/config.json"), ("score", "train")),
}  # fmt: skip


# Running


@dataclass(frozen=True)
class Outcome:
    """The result of one command on one case.

    Attributes:
        case: name of the case.
        action: name of the command.
        result: `executed`, `refused`, `ignored`, `asked` (the command read the standard input) or `traceback`.
        message: the last line that the command wrote to stderr, or the error.
    """

    case: str
    action: str
    result: str
    message: str


def run_case(name: str, template: Path, actions: Iterable[str] = ()) -> Iterator[Outcome]:
    """Yield the result of each command of a case.

    Args:
        name: a key of `CASES`.
        template: folder from `build_folder`, which is copied for each command.
        actions: names of the commands; by default all of the case.
    """
    case = CASES[name]
    for action in actions or case.actions:
        with tempfile.TemporaryDirectory() as folder:
            place = Workplace(Path(shutil.copytree(template, Path(folder, "place"))))
            _set_base(place)
            case.change(place)
            result, message = _observe(ACTIONS[action], place)
            yield Outcome(name, action, result, message)


def _set_base(place: Workplace) -> None:
    _edit(place, "adapter/adapter_config.json", base_model_name_or_path=str(place / "policy"))


def _observe(action: Action, place: Workplace) -> tuple[str, str]:
    out, err, answers = io.StringIO(), io.StringIO(), io.StringIO("y\n" * 100)
    path = [place.folder.as_posix(), *sys.path]
    before = Path.cwd()
    modules = set(sys.modules)
    os.chdir(place / "data" if (place / "data").is_dir() else place.folder)
    try:
        with (
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch.object(sys, "stdin", answers),
            patch.object(sys, "path", [one for one in path if one != place.folder.as_posix()]), _time_limit(),
        ):  # fmt: skip
            code = action(place)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        ours = type(error).__module__.startswith("rlhf_losses")
        result, message = "refused" if ours else "traceback", f"{type(error).__name__}: {error}"
    else:
        lines = err.getvalue().strip().splitlines() or [""]
        message = next((line for line in reversed(lines) if line.startswith("rlhf-losses: ")), lines[-1])
        result = (
            "ignored" if code == 0 else "refused" if code == 1 or message.startswith("rlhf-losses: ") else "traceback"
        )
    finally:
        os.chdir(before)
        for module in set(sys.modules) - modules:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(place.folder)):
                del sys.modules[module]
    if answers.tell():
        result = "asked"
    return ("executed" if place.marker.exists() else result), " ".join(message.split())[:200]


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"no end after {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def build_folder(folder: Path, checkpoint: bool = True) -> Path:
    """Write a harmless model, adapter, policy, checkpoint and data, which each case changes.

    Args:
        folder: an empty folder.
        checkpoint: whether to train for a checkpoint, which the command `resume` needs.
    """
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerFast = build_tokenizer(vocabulary())
    tokenizer.chat_template = TEMPLATE
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=128, num_labels=1, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **sizes,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "policy")
    model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder / "model")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS"))
    adapted.save_pretrained(folder / "adapter")
    for name in ("policy", "model", "adapter"):
        tokenizer.save_pretrained(folder / name)
    (folder / "data").mkdir()
    rows = [{"prompt": "Tom ", "chosen": "was happy.", "rejected": "was sad."}] * 4
    chats = [{"messages": [{"role": "user", "content": "Tom"}, {"role": "assistant", "content": "was happy."}]}]
    for name, content in (("pairs", rows), ("chats", chats)):
        (folder / f"data/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return _train_checkpoint(folder) if checkpoint else folder


def _train_checkpoint(folder: Path) -> Path:
    place = Workplace(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        words = [*TRAIN, "--model", place / "policy", "--dataset", place / "data/pairs.jsonl", "--save_steps", "1"]
        command_line([*map(str, words), *(word.replace("@", f"{folder}/") for word in TRAINING)])
    shutil.move(folder / "output/checkpoint-1", folder / "checkpoint-1")
    shutil.rmtree(folder / "output", ignore_errors=True)
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each command and the number of cases with each result."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        template = build_folder(Path(folder))
        outcomes = []
        for name in args.only:
            for outcome in run_case(name, template):
                outcomes.append(outcome)
                print(f"{outcome.result:9} {outcome.case} ({outcome.action}): {outcome.message}", flush=True)
    counts = Counter(outcome.result for outcome in outcomes)
    executed = {outcome.case for outcome in outcomes if outcome.result in ("executed", "asked")}
    print(f"{len(args.only)} folders, {len(outcomes)} commands: {len(executed)} executed code or asked to, ", end="")
    print(", ".join(f"{counts[name]} {name}" for name in ("refused", "ignored", "traceback")))


if __name__ == "__main__":
    main()
