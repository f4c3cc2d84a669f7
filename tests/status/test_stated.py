"""Time on a device that is only stated: operations over the share of its peak, and what published speeds say of it."""

import json

import pytest

from diffbench import shipped
from diffbench.catalog.devices import DEVICES, UTILISATION
from diffbench.errors import UsageError
from diffbench.models.find import load_card
from diffbench.status.stated import StatedDevice
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite

PUBLISHED = shipped.suites() / "published"


def test_seconds_are_operations_over_speed():
    """12.44 GFLOP an evaluation, 10 evaluations, 50,000 samples, at half of 60 TFLOP/s."""
    suite = read_suite(PUBLISHED / "ddpm-cifar10.yaml")
    cell = next(cell for cell in plan(suite) if cell.sampler == "ddim" and cell.nfe == 10)
    rates = StatedDevice.read("60 TFLOP/s", "50%").rates([cell])
    assert cell.card.flops == pytest.approx(12443713536, rel=1e-5)
    assert rates.seconds([(cell, 50_000)]) == pytest.approx(12443713536 * 10 * 50_000 / 30e12, rel=1e-5)


def test_a_guided_evaluation_is_two_of_the_network():
    """208.4 GFLOP of LDM-4 on ImageNet; its published speeds are 0.7 images/s, 0.4 guided (LDM Table 18)."""
    suite = read_suite(PUBLISHED / "ldm-imagenet.yaml")
    cells = {cell.options.get("guidance"): cell for cell in plan(suite, "model=ldm-imagenet-f4")}
    rates = StatedDevice.read("60 TFLOP/s", "50%").rates(cells.values())
    took = {scale: rates.seconds([(cell, 50_000)]) for scale, cell in cells.items()}
    once = 2.08448e11 * 250 * 50_000 / 30e12
    assert took == pytest.approx({1.0: once, 1.25: 2 * once, 1.5: 2 * once}, rel=1e-5)


def test_speeds_and_shares_are_read():
    assert StatedDevice.read("60 TFLOP/s").speed == StatedDevice.read("0.06 pflops").speed == 60e12
    assert StatedDevice.read("60TFLOPS").utilisation == UTILISATION
    assert (
        StatedDevice.read("A100", "0.5").peak("bfloat16") == 312e12
        and StatedDevice.read("a100", "50%").utilisation == 0.5
    )
    assert StatedDevice.read("v100").peak("bfloat16") is None
    for on, share in (("a1000", None), ("0 TFLOP/s", None), ("60", None), ("a100", "3"), ("a100", "0"), ("a100", "x")):
        with pytest.raises(UsageError):
            StatedDevice.read(on, share)


def test_peaks_keep_their_order():
    """Units for 16 bits are at least as fast as those for 32, and twice TF32's on all devices that have both."""
    for device in DEVICES.values():
        assert device.float16 >= device.float32 and device.bfloat16 in (None, device.float16)
        if device.tf32:
            assert device.float16 == pytest.approx(2 * device.float32, rel=0.02)


@pytest.mark.parametrize(
    ("card", "steps", "published"),
    [
        ("ldm-celebahq", 500, 0.43), ("ldm-bedrooms", 200, 1.07), ("ldm-ffhq", 200, 1.07), ("ldm-churches", 200, 6.80),
        ("ldm-imagenet-f8", 200, 1.9), ("ldm-imagenet-f4", 250, 0.7),
    ],
)  # fmt: skip
def test_published_speeds_are_met_within_a_third(card, steps, published):
    """Images a second on an A100 (LDM, Table 18) tell that the default share of the peak is the right size."""
    flops = load_card(shipped.reference_models() / "published" / card).flops
    images_per_second = UTILISATION * 156e12 / (flops * steps)
    assert images_per_second == pytest.approx(published, rel=1 / 3)


def test_plan_tells_the_time_on_a_stated_device(diffbench):
    path = str(PUBLISHED / "ddpm-cifar10.yaml")
    code, out, _ = diffbench("plan", path, "--on", "a100")
    assert code == 0 and "38 cells (38 missing); to do: 1,900,000 samples, 369,750,000 evaluations" in out
    hours = 369_750_000 * 12443713536 / (0.3 * 156e12) / 3600
    assert (
        24 < hours < 28 and f"time: about 1 d {int(hours) - 24} h on NVIDIA A100 (by the cards' flops at 30% of" in out
    )
    assert (
        "156 TFLOP/s in TF32, NVIDIA A100 datasheet; --utilisation sets the share), decoding, features, timing" in out
    )
    code, out, _ = diffbench("plan", path, "--on", "a100", "--utilisation", "60%", "--json")
    assert sum(row["seconds"] for row in json.loads(out)) == pytest.approx(hours * 3600 / 2, rel=1e-5)


def test_what_is_not_known_is_said(diffbench):
    path = str(PUBLISHED / "ncsnpp-cifar10.yaml")
    code, out, _ = diffbench("plan", path, "--on", "t4", "--set", "run.dtype=bfloat16")
    assert code == 0 and "time: unknown; ncsnpp-ve, ncsnpp-ve-continuous, ncsnpp-ve-deep: t4 has no units for bf" in out
    for arguments, said in (
        (("--on", "a1000"), 'unknown device "a1000"; did you mean "a100"? Known: a100, '),
        (("--on", "a100", "--probe"), "--on and --probe exclude each other"),
        (("--utilisation", "50%"), "--utilisation goes with --on"),
        (("--on", "a100", "--utilisation", "3"), "expected a share of the peak above 0 and up to 1"),
    ):
        code, _, err = diffbench("plan", path, *arguments)
        assert code == 2 and said in err, err


def test_the_models_of_the_package_have_times_too_and_files_to_fetch_the_ids_of_the_suite(diffbench, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "models: [ddpm-mnist, ldm-mnist, {id: mine, name: ddpm-cifar10},"
        " {id: clipless, name: ddpm-cifar10, clip: null}]\n"
        "samplers: [ddim]\nbudgets: {nfe: [5]}\nmetrics: [is]\n"
    )
    code, out, _ = diffbench("plan", "s.yaml", "--on", "a100")
    assert code == 0 and "no flops" not in out and "time: about" in out
    assert len([line for line in out.splitlines() if line.startswith("to fetch first: mine, clipless: the check")]) == 1
    code, out, _ = diffbench("doctor", "s.yaml", "--json")
    assert {row["name"] for row in json.loads(out) if row["group"] == "models"} == {
        "ddpm-mnist", "ldm-mnist", "mine, clipless"
    }  # fmt: skip


def test_swept_guidance_reads_well_and_tells_rows_apart(diffbench, tmp_path):
    swept = "1.5, {scale: 1.5, interval: [0.3, 5]}, {scale: 7.5, interval: [0.3, 5]}, {scale: 7.5, interval: [0.3, 50]}"
    (tmp_path / "s.yaml").write_text(
        "models: [{id: a, name: ddpm-mnist, card: {labels: {classes: 10, unconditional: 9}}, labels: balanced,"
        f" sweep: {{guidance: [{swept}]}}}}]\n"
        "samplers: [{id: a-sampler-of-a-long-name, sampler: ddim, eta: 0.5}]\nbudgets: {nfe: [5]}\n"
    )
    code, out, _ = diffbench("plan", "s.yaml")
    told = [line.split(" nfe 5")[0].split("name ")[1].strip() for line in out.splitlines() if "nfe 5" in line]
    guided = ["guidance 1.5 in 0.3..5", "guidance 7.5 in 0.3..5", "guidance 7.5 in 0.3..50"]
    assert (code, told) == (0, ["guidance 1.5", *guided])
