"""Out of device memory: the batch is part of the samples' identity, so it is never made smaller without being asked."""

import torch
from faults.sandbox import without_report

from diffbench.runner import execute, sampling


def too_small_for(sampler, seen):
    """A device that has memory for all cells but those of one sampler."""
    sample = execute.sample_images

    def sampled(model, cell, own, indices, through=None):
        with open(seen, "a", encoding="ascii") as file:
            file.write(f"{cell.sampler} {len(indices)}\n")
        if cell.sampler == sampler:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return sample(model, cell, own, indices, through)

    execute.sample_images = sampled
    sampling.run_shard = execute.run_shard


def test_the_cell_stops_with_advice_and_the_others_go_on(box, whole):
    seen = box.folder / "batches"
    outcome = box.sample(before=lambda: too_small_for("ddpm", seen))
    assert outcome.code == 4 and "out of device memory at batch size 2; set run.batch_size lower" in outcome.err
    tried = seen.read_text().splitlines()
    assert tried.count("ddpm 2") == 1 and "ddpm 1" not in tried
    assert len([line for line in tried if line.startswith("ddim")]) == 6
    status = box.call("status", box.run)
    assert status.code == 3 and "failed" in status.out and "batch_size lower" in status.out
    assert box.sample().code == 0
    assert box.artefacts() == whole.artefacts()
    assert box.call("status", box.run).code == 0


def test_no_failure_is_kept_as_a_result(box):
    box.sample(before=lambda: (without_report(), too_small_for("ddpm", box.folder / "batches")))
    import diffbench

    table = diffbench.read(box.run).frame
    failed = table[table["sampler"] == "ddpm"]
    assert (failed["status"] == "failed").all() and failed["value"].isna().all() and failed["reason"].notna().all()
