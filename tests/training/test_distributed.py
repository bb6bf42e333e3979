"""Repeated rows do not count, and settings that sharded models do not support are refused."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from accelerate.state import GradientState
from accelerate.utils import DistributedType
from torch.utils.data import DataLoader

from rlhf_losses import InvalidSettingError, RewardConfig, parse_loss
from rlhf_losses.data import Collator
from rlhf_losses.feedback import Pairs
from rlhf_losses.layouts import PackedLayout
from rlhf_losses.layouts.splitting import ForwardPassSplitter
from rlhf_losses.training.distributed import (
    choose_splitter,
    drop_repeated_rows,
    require_requested_sharding,
    require_supported_settings,
    sum_over_processes,
)

COLLATOR = Collator(PackedLayout(), (Pairs,))


def batch(count):
    """Return a batch of pairs whose texts have one token each."""
    return COLLATOR(
        [
            {
                "text_ids": [[10 + index], [20 + index]],
                "score_text": [0, 1],
                "score_position": [0, 0],
                "score_length": [1, 1],
                "feedback_to_score": [0, 1],
                "feedback_types": ["Pairs"],
                "length": 1,
                "row_number": 0,
            }
            for index in range(count)
        ]
    )


def process(rank, remainder, count=2, end=True, even=True):
    """Return process `rank` of `count`, at the end of an epoch whose last global batch has `remainder` new rows.

    Without a remainder, the data are a stream.
    """
    data = iter(()) if remainder is None else range(16 + remainder)
    return SimpleNamespace(
        num_processes=count,
        process_index=rank,
        even_batches=even,
        device=torch.device("cpu"),
        gradient_state=SimpleNamespace(end_of_dataloader=end, active_dataloader=SimpleNamespace(dataset=data)),
    )


@pytest.mark.parametrize(
    ("rank", "remainder", "expected"), [(0, 6, 4), (1, 6, 2), (0, 3, 3), (1, 3, 0), (1, 0, 4), (1, None, 4)]
)
def test_only_the_new_rows_of_the_last_batch_remain(rank, remainder, expected):
    remaining = drop_repeated_rows(batch(4), COLLATOR, process(rank, remainder))
    (one,) = remaining["passes"]
    assert len(one.feedback) == expected
    assert len(one.score_row) == 2 * expected
    assert one.texts.model_inputs["input_ids"].numel() >= 1  # every process runs a forward pass


@pytest.mark.upstream
@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_a_resumed_epoch_ends_with_the_same_rows(skipped):
    kept = []
    for rank in range(2):
        data = DataLoader(range(17), batch_size=3)
        whole = prepare_data_loader(data, num_processes=2, process_index=rank, put_on_device=False)
        accelerator = process(rank, 0)
        accelerator.gradient_state = GradientState()
        for rows in skip_first_batches(whole, skipped):
            last = drop_repeated_rows(batch(len(rows)), COLLATOR, accelerator)
        (one,) = last["passes"]
        kept.append(len(one.feedback))
    assert kept == [3, 2]  # rows 12 to 14, and rows 15 and 16 without the row that fills up


@pytest.mark.parametrize("changes", [{"end": False}, {"count": 1}, {"even": False}])
def test_other_batches_are_unchanged(changes):
    whole = batch(4)
    assert drop_repeated_rows(whole, COLLATOR, process(rank=0, remainder=1, **changes)) is whole


def test_without_a_last_batch_that_is_not_full_no_row_is_repeated():
    whole = batch(4)
    assert drop_repeated_rows(whole, COLLATOR, process(rank=0, remainder=1), drop_last=True) is whole


def config(tmp_path, **changes):
    return RewardConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none", **changes)


def objective(text):
    return parse_loss(text).as_objective()


@pytest.mark.parametrize(
    ("loss", "changes", "sharded", "found"),
    [
        ("bradley_terry", {"max_tokens_per_forward": 60}, True, "max_tokens_per_forward=60"),
        ("rao_kupper", {}, True, r"log_tie_width.*tie_width=1\.0"),
        ("bradley_terry", {"hidden_state_cache_gib": 1.0}, True, r"hidden_state_cache_gib=1\.0.*FSDP"),
        ("bradley_terry", {"hidden_state_cache_gib": 1.0, "torch_compile": True}, False, r"torch\.compile"),
    ],
)
def test_unsupported_settings_are_refused(tmp_path, loss, changes, sharded, found):
    with pytest.raises(InvalidSettingError, match=found):
        require_supported_settings(config(tmp_path, **changes), objective(loss), sharded, uses_cache=False)


@pytest.mark.parametrize("name", ["FSDP", "DeepSpeed"])
def test_sharding_that_accelerate_does_not_enable_is_refused(tmp_path, name):
    environment = {f"ACCELERATE_USE_{name.upper()}": "true"}
    on_cpus = SimpleNamespace(distributed_type=DistributedType.MULTI_CPU)
    with pytest.raises(InvalidSettingError, match=f"{name} was requested, but accelerate trains without it.*MULTI_CPU"):
        require_requested_sharding(config(tmp_path), on_cpus, environment)
    require_requested_sharding(config(tmp_path), on_cpus, {})
    enabled = SimpleNamespace(distributed_type=DistributedType[name.upper()])
    require_requested_sharding(config(tmp_path), enabled, environment)


def test_settings_of_an_unsharded_model_are_accepted(tmp_path):
    changes = {"max_tokens_per_forward": 60, "hidden_state_cache_gib": 1.0}
    require_supported_settings(config(tmp_path, **changes), objective("rao_kupper"), sharded=False, uses_cache=True)


def test_a_setting_divides_batches_and_a_default_depends_on_model_and_loss(tmp_path):
    plain, batch_wide = objective("bradley_terry"), objective("bradley_terry + batch_sum_to_zero")
    requested = config(tmp_path, max_tokens_per_forward=60)
    assert choose_splitter(requested, batch_wide, sharded=False) == ForwardPassSplitter(60)
    default = config(tmp_path)
    assert choose_splitter(default, plain, sharded=False) is not None  # on a CPU
    assert choose_splitter(default, plain, sharded=True) is None
    assert choose_splitter(default, batch_wide, sharded=False) is None


def test_the_sum_over_one_process_is_the_tensor():
    tensor = torch.ones(2)
    assert sum_over_processes(SimpleNamespace(num_processes=1))(tensor) is tensor


def test_the_sum_over_processes_is_on_the_device_of_the_tensor():
    def reduce(tensor, reduction):
        assert tensor.device.type == "meta"
        assert reduction == "sum"
        return torch.full((2,), 3.0)

    accelerator = SimpleNamespace(num_processes=2, device=torch.device("meta"), reduce=reduce)
    total = sum_over_processes(accelerator)(torch.ones(2))
    assert total.tolist() == [3.0, 3.0]
