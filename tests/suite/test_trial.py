"""What only a look at the machine shows of a suite: ``validate`` looks, reading a run's suite does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_suites import marked_place

from diffbench.errors import SuiteError
from diffbench.samplers.diffusers_scheduler import refusal
from diffbench.suite.read import read_suite

MODEL = "samplers: [ddim]\nbudgets: {nfe: [5]}\nmodels: "
SAMPLER = "models: [ddpm-mnist]\nbudgets: {nfe: [5]}\nsamplers: "
UNIPC = SAMPLER + '[{id: a, sampler: "diffusers:UniPCMultistepScheduler", '
BOTH = "{use_karras_sigmas: true, use_beta_sigmas: true}"
BAD = [
    (MODEL + "[{name: ddpm-mnist, card: {reference: §mine.json}}]", "mine.json: no such file; diffbench reference"),
    (MODEL + "[{name: ddpm-mnist, card: {reference: §mnits}}]", 'unknown reference "mnits"; did you mean "mnist"?'),
    (MODEL + "[{name: ddpm-mnist, card: {extractor: §mnist-featurs}}]", 'did you mean "mnist-features"?'),
    (MODEL + "[{name: ddpm-mnist, card: {data: {shape: [4, 9, 9]}, extractor: §clip-vitb32}}]", "not of 4 x 9"),
    (MODEL + "[{name: §ddpm-mnist, card: {data: {shape: [3, 32, 32]}}}]", "takes images of 1 x 28 x 28, not of 3 x 32"),
    (UNIPC + f"config: §{BOTH}}}]", "samplers[0].config: UniPCMultistepScheduler of diffusers can't"),
    (UNIPC + f"sweep: {{config: [{{solver_order: 1}}, §{BOTH}]}}}}]", "samplers[0].sweep.config[1]: UniPC"),
    (UNIPC + "config: §{rescale_betas_zero_snr: true}}]", "its alpha_bar is not the model's"),
]  # fmt: skip


@pytest.mark.parametrize("marked, said", BAD)
def test_what_a_run_would_stop_at_is_an_error_at_its_place(tmp_path: Path, marked: str, said: str) -> None:
    text, place = marked_place(marked)
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert read_suite(path).name == "s"
    with pytest.raises(SuiteError) as caught:
        read_suite(path, trial=refusal)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == place
    assert said in problem.message


def test_what_fits_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(UNIPC + "config: {use_karras_sigmas: true}}]")
    assert read_suite(path, trial=refusal) == read_suite(path)


def test_a_config_that_some_numbers_of_steps_go_with_is_fine() -> None:
    assert refusal("TCDScheduler", {"original_inference_steps": 4}) is None
    assert refusal("PNDMScheduler", {"skip_prk_steps": True}) is None
