import pytest

from medembed.errors import TrainingError
from medembed.training.model.precision import (
    Device,
    choose_precision,
    find_device,
    native_cpu_types,
    precision_arguments,
)

OLD_CPU = Device("cpu", native_cpu_types({"avx2": True, "avx512_f": True, "amx_int8": True}))
NEW_CPU = Device("cpu", native_cpu_types({"avx2": True, "avx512_bf16": True}))
OLD_GPU = Device("cuda", frozenset({"float16"}))
NEW_GPU = Device("cuda", frozenset({"float16", "bfloat16"}))


@pytest.mark.parametrize(
    ("device", "chosen"),
    [(OLD_CPU, "float32"), (NEW_CPU, "float32"), (OLD_GPU, "float16"), (NEW_GPU, "bfloat16")],
)
def test_auto_takes_the_narrowest_type_that_a_gpu_has_and_float32_on_a_cpu(
    device: Device, chosen: str
):
    assert choose_precision("auto", device) == chosen


def test_a_cpu_has_bfloat16_only_by_an_instruction_for_it():
    assert OLD_CPU.native == frozenset()
    assert NEW_CPU.native == native_cpu_types({"amx_bf16": True}) == {"bfloat16"}


@pytest.mark.parametrize(
    ("asked", "device"),
    [("bfloat16", OLD_CPU), ("float16", OLD_CPU), ("float16", NEW_CPU), ("bfloat16", OLD_GPU)],
)
def test_what_a_device_would_emulate_is_refused_with_what_it_has(asked: str, device: Device):
    with pytest.raises(
        TrainingError, match=f"found {asked}, but this {device.kind} device .* float32"
    ):
        choose_precision(asked, device)


@pytest.mark.parametrize(
    ("asked", "device"), [("bfloat16", NEW_CPU), ("bfloat16", NEW_GPU), ("float16", NEW_GPU)]
)
def test_what_a_device_has_it_gets(asked: str, device: Device):
    assert choose_precision(asked, device) == asked
    assert choose_precision("float32", device) == "float32"


def test_this_machine_trains_in_float32_unless_told_otherwise():
    assert find_device(use_gpu=False).kind == "cpu"
    assert precision_arguments("auto", use_gpu=False) == {"bf16": False, "fp16": False}
