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
    ("asked", "device", "chosen"),
    [
        ("auto", OLD_CPU, "float32"),
        ("auto", NEW_CPU, "float32"),
        ("auto", OLD_GPU, "float16"),
        ("auto", NEW_GPU, "bfloat16"),
        ("float32", NEW_GPU, "float32"),
        ("bfloat16", NEW_CPU, "bfloat16"),
        ("bfloat16", NEW_GPU, "bfloat16"),
        ("float16", NEW_GPU, "float16"),
        ("bfloat16", OLD_CPU, None),
        ("float16", OLD_CPU, None),
        ("float16", NEW_CPU, None),
        ("bfloat16", OLD_GPU, None),
    ],
)
def test_a_run_gets_what_the_device_has_and_what_it_would_emulate_is_refused(
    asked: str, device: Device, chosen: str | None
):
    if chosen is not None:
        assert choose_precision(asked, device) == chosen
        return
    refusal = f"found {asked}, but this {device.kind} device .* float32"
    with pytest.raises(TrainingError, match=refusal):
        choose_precision(asked, device)


def test_a_cpu_has_bfloat16_only_by_an_instruction_for_it():
    assert OLD_CPU.native == frozenset()
    assert NEW_CPU.native == native_cpu_types({"amx_bf16": True}) == {"bfloat16"}


def test_this_machine_trains_in_float32_unless_told_otherwise():
    assert find_device(use_gpu=False).kind == "cpu"
    assert precision_arguments("auto", use_gpu=False) == {"bf16": False, "fp16": False}
