"""``diffbench check`` finds what is read otherwise than it was trained, and passes what is not."""

import json

import numpy as np
import pytest
import torch
from planted_checkpoints import planted, raw_and_average, with_large_latents
from tiny_model import write_checkpoint

from diffbench.errors import CardError, ImagesError, UsageError
from diffbench.models.codec import LatentCodec, PixelCodec
from diffbench.models.find import load_card
from diffbench.runner.check import check
from diffbench.runner.real_images import real_images, split_images

FEW = {"n": 50, "sigmas": 6, "quiet": True}


def patterns(count=160):
    generator = np.random.default_rng(0)
    mixture = load_card("gaussian-mixture").analytic
    kind = generator.choice(4, count, p=mixture.weights)
    x = np.array(mixture.means)[kind] + np.array(mixture.scales)[kind, None] * generator.normal(size=(count, 16))
    return ((x + 1) * 127.5).round().clip(0, 255).astype(np.uint8).reshape(count, 4, 4)


def finds(folder, key, value, **options):
    found = check(folder, **{**FEW, **options})
    assert found.verdict == "WRONG"
    assert found.readings[0].key == key and value in found.readings[0].value
    assert found.readings[0].of_linear < 0.8 < found.readings[0].card
    return found


@pytest.mark.parametrize("name", ["ddpm-mnist", "score-ve-mnist", "score-vp-mnist", "score-subvp-mnist", "ldm-mnist"])
def test_a_shipped_model_passes(name):
    found = check(name, **FEW)
    assert found.verdict == "GOOD" and not found.readings and not found.notes
    errors = found.errors
    identity = errors.baselines["identity"]
    se = identity.std(1, ddof=1) / 50**0.5
    assert np.all(np.abs(identity.mean(1) - errors.sigmas**2) < 4 * se)
    assert np.all(np.diff(errors.baselines["linear"].mean(1)) > 0)
    np.testing.assert_allclose(errors.baselines["mean"], np.tile(errors.baselines["mean"][:1], (6, 1)))


def test_epsilon_read_as_v_is_found(tmp_path, diffbench):
    folder = planted("ddpm-mnist", tmp_path / "v", prediction="v_prediction")
    few = ("--n", "50", "--sigmas", "6", "--quiet")
    code, out, err = diffbench("check", str(folder), *few, "--out", "out")
    assert code == 1 and "WRONG" in out and "read with prediction epsilon" in out and "v: WRONG in high" in err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"denoising_error.{end}" for end in ("csv", "json", "pdf", "png", "svg")]
    kept = json.loads((tmp_path / "out" / "denoising_error.json").read_text())
    (reading,) = kept["readings"]
    assert (reading["key"], reading["value"]) == ("prediction", "epsilon") and len(kept["sigmas"]) == 6
    assert reading["of_linear"] < 0.4 < reading["card"]


def test_a_wrong_range_is_found(tmp_path):
    finds(planted("score-ve-mnist", tmp_path / "a", data={"range": [-1, 1]}), "data.range", "[0, 1]")


def test_latent_scaling_left_out_is_found(tmp_path):
    assert check(with_large_latents(tmp_path / "right"), **FEW).verdict == "GOOD"
    found = finds(with_large_latents(tmp_path / "wrong", 1.0), "codec.scaling_factor", "0.182")
    assert "standard deviation 3.9" in found.notes[0]


def test_a_wrong_time_is_found(tmp_path):
    finds(planted("score-vp-mnist", tmp_path / "t", time={"input": "scaled", "scale": 1}), "time", "999 t")


def test_weights_without_their_average_are_told_from_those_with_it(tmp_path, diffbench):
    raw, average = raw_and_average("ldm-mnist", tmp_path / "made", steps=30, batch=32)
    found = check(raw, against=average, diagnose=False, **FEW)
    words = [one.verdict.word for one in found.against]
    assert words.count("WORSE") >= 2 and "BETTER" not in words and found.verdict in ("WORSE", "WRONG")
    few = ("--n", "50", "--sigmas", "6", "--quiet", "--no-diagnose")
    assert diffbench("check", "ldm-mnist", *few, "--save", "kept.json")[0] == 0
    code, out, err = diffbench("check", str(average), *few, "--against", "kept.json", "--json")
    assert code == 1 and "ldm-mnist-average: W" in err
    assert {(row["against"], row["other"]) for row in json.loads(out)} == {("WORSE", "ldm-mnist (kept.json)")}
    code, out, _ = diffbench("check", "ldm-mnist", *few, "--against", "kept.json")
    assert code == 0 and out.count("SAME") == 4
    code, _, err = diffbench("check", str(raw), *few, "--seed", "1", "--against", "kept.json")
    assert code == 2 and "seed 0 and 1" in err
    (tmp_path / "kept.json").write_text((tmp_path / "kept.json").read_text().replace("0.1", "0.2", 1))
    assert diffbench("check", str(raw), *few, "--against", "kept.json")[0] == 4


def test_the_cards_clip_changes_nothing(tmp_path):
    free = check(planted("ddpm-mnist", tmp_path / "free", clip=None), **FEW)
    np.testing.assert_array_equal(check("ddpm-mnist", **FEW).errors.network, free.errors.network)


def test_an_untrained_network_is_wrong_and_no_reading_is_blamed(tmp_path):
    found = check(write_checkpoint(tmp_path / "tiny"), **FEW)
    assert found.verdict == "WRONG" and not found.readings
    assert "no other reading of the card gives much less error" in found.notes[0]
    assert not check(tmp_path / "tiny", diagnose=False, **FEW).notes


def test_a_model_whose_denoiser_is_exact_is_better_than_any_linear_estimate(tmp_path, diffbench):
    np.save(tmp_path / "patterns.npy", patterns())
    found = check("gaussian-mixture", tmp_path / "patterns.npy", quiet=True, sigmas=8)
    assert found.verdict == "GOOD" and np.all(found.errors.allowed == 0) and found.errors.network.shape == (8, 80)
    assert min(one.of_linear for one in found.bands) < 0.9
    code, out, err = diffbench("check", "gaussian-mixture", "--quiet")
    assert code == 2 and not out and "give images of it as the data" in err and err.count("\n") == 1
    code, _, err = diffbench("check", "gaussian-mixture", "--data", "patterns.npy", "--n", "20", "--quiet")
    assert code == 3 and "SUSPECT" in err


def test_an_image_has_its_own_noise_whatever_the_batch(tmp_path):
    np.save(tmp_path / "patterns.npy", patterns())
    whole, parts = (
        check("gaussian-mixture", tmp_path / "patterns.npy", quiet=True, sigmas=3, batch_size=size) for size in (64, 7)
    )
    np.testing.assert_array_equal(whole.errors.network, parts.errors.network)


def test_images_are_taken_evenly_and_the_others_are_others(tmp_path):
    np.save(tmp_path / "ramp.npy", np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8))
    tested, others = split_images(tmp_path / "ramp.npy", (1, 2, 2), 4, None, 12)
    assert tested.pixels[:, 0, 0, 0].tolist() == [0, 4, 8, 12]
    assert others[:, 0, 0, 0].tolist() == [k for k in range(16) if k % 4]
    digits, rest = split_images("digits", (1, 28, 28), 100, None, 4096)
    assert torch.equal(digits.pixels, real_images("digits", (1, 28, 28), 100).pixels) and len(rest) == 4096
    with pytest.raises(UsageError, match="and others for their moments"):
        split_images(tmp_path / "ramp.npy", (1, 2, 2), 20, None, 10)
    with pytest.raises(ImagesError, match="the model's are"):
        split_images(tmp_path / "ramp.npy", (1, 3, 3), 4, None, 10)


def test_codecs_go_both_ways():
    images = torch.tensor([-1.0, -0.5, 1.0]).view(1, 1, 1, 3)
    codec = PixelCodec(0.0, 1.0)
    torch.testing.assert_close(codec.encode(images), torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3))
    torch.testing.assert_close(codec.decode(codec.encode(images)), images)
    seen = []
    latent = LatentCodec(lambda z: z, 0.5, 2, lambda x: seen.append(x) or x, 4)
    assert torch.equal(latent.encode(torch.ones(1, 1, 2, 2)), seen[0] / 2)
    assert seen[0].shape == (1, 1, 4, 4) and seen[0][0, 0, 0].tolist() == [-1] * 4 and seen[0].sum() == 4 - 12
    with pytest.raises(CardError, match="no encoder"):
        LatentCodec(lambda z: z, 0.5, 2).encode(images)


def test_what_makes_no_sense_is_refused(tmp_path, diffbench):
    for wrong in ({"sigmas": 1}, {"batch_size": 0}, {"dtype": "int8"}):
        with pytest.raises(UsageError):
            check("ddpm-mnist", **{"quiet": True, **wrong})
    with pytest.raises(UsageError, match="can't be compared: range"):
        check("score-ve-mnist", against="ddpm-mnist", **FEW)
    folder = write_checkpoint(tmp_path / "spoilt", spoil=True)
    code, _, err = diffbench("check", str(folder), "--n", "50", "--quiet")
    assert code == 4 and "image 0: the denoised estimate at sigma 0.01" in err
