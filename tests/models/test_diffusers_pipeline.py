import hashlib
import shutil

import pytest
import torch
import yaml
from diffusers import DDIMScheduler, DDPMPipeline, LDMPipeline, UNet2DModel
from tiny_model import write_checkpoint

from diffbench import shipped
from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.noise import NoiseSource
from diffbench.errors import CardError, WeightsError
from diffbench.models.codec import LatentCodec, PixelCodec
from diffbench.models.find import load_card
from diffbench.models.load import load_model
from diffbench.samplers.ddim import DDIM
from diffbench.samplers.integrate import integrate

CPU = torch.device("cpu")
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copied(tmp_path):
    """A private copy of a shipped model, and a way to change its card."""
    folder = tmp_path / "model"
    shutil.copytree(shipped.reference_models() / "ldm-mnist", folder)

    def change(**values):
        card = yaml.safe_load((folder / "card.yaml").read_text())
        (folder / "card.yaml").write_text(yaml.safe_dump({**card, **values}))
        return folder

    return change


def test_altered_weights_are_refused_before_they_are_parsed(copied):
    folder = copied()
    (folder / WEIGHTS).write_bytes(b"not safetensors at all")
    with pytest.raises(WeightsError, match="sha256 is .* the card says"):
        load_model(load_card(str(folder)), CPU)


def test_an_altered_config_is_refused(copied):
    folder = copied()
    path = folder / "unet" / "config.json"
    path.write_text(path.read_text().replace('"norm_num_groups": 8', '"norm_num_groups": 4'))
    with pytest.raises(WeightsError, match="config.json: sha256"):
        load_model(load_card(str(folder)), CPU)


def test_missing_weights_name_the_file(copied):
    folder = copied()
    (folder / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="diffusion_pytorch_model.safetensors: No such file"):
        load_model(load_card(str(folder)), CPU)


def test_a_file_without_a_hash_is_refused(copied):
    card = yaml.safe_load((copied() / "card.yaml").read_text())
    hashes = {name: value for name, value in card["sha256"].items() if name != WEIGHTS}
    with pytest.raises(CardError, match="no sha256 for unet/diffusion"):
        load_model(load_card(str(copied(sha256=hashes))), CPU)


def test_a_renamed_pickle_is_refused_and_not_run(copied, tmp_path):
    import pickle

    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    data = pickle.dumps(Canary())
    folder = copied()
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / WEIGHTS).write_bytes(data)
    hashes = {**card["sha256"], WEIGHTS: hashlib.sha256(data).hexdigest()}
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_model(load_card(str(copied(sha256=hashes))), CPU)
    assert not (tmp_path / "canary").exists()


def test_the_wrong_class_is_refused(copied):
    with pytest.raises(CardError, match="says unet is a VQModel, its config UNet2DModel"):
        load_model(load_card(str(copied(network={"path": "unet", "class": "VQModel"}))), CPU)


@pytest.fixture
def exploding(tmp_path):
    """A tiny network in the layout of Score-SDE's VE models (``google/ncsnpp-*``), and the card it comes with."""
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        center_input_sample=True,
        time_embedding_type="fourier",
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
        add_attention=False,
    ).eval()
    unet.save_pretrained(tmp_path / "unet")
    card = yaml.safe_load((shipped.reference_models() / "score-vp-mnist" / "card.yaml").read_text())
    files = ["unet/config.json", WEIGHTS]
    card |= {
        "prediction": "score",
        "schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 16.0},
        "time": {"input": "sigma"},
        "data": {"range": [0, 1], "shape": [1, 8, 8], "dataset": "mnist"},
        "sha256": {file: hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() for file in files},
    }

    def loaded(**values):
        (tmp_path / "card.yaml").write_text(yaml.safe_dump({**card, **values}))
        return load_model(load_card(str(tmp_path)), CPU)

    return unet, loaded


def test_a_score_network_of_the_ve_family_is_called_at_x_and_sigma(exploding):
    unet, loaded = exploding
    sigma = torch.tensor([0.0101, 0.7, 16.0], dtype=torch.float64)
    level = sigma.float().view(-1, 1, 1, 1)
    x = 0.5 + level * torch.randn(3, 1, 8, 8)
    model = loaded()
    with torch.inference_mode():
        x0 = model.denoiser(x, sigma).x0
        torch.testing.assert_close(x0, x + level**2 * unet(x, sigma.float()).sample)
        # Data in [0, 1] come out in [-1, 1].
        torch.testing.assert_close(model.codec.decode(x0), 2 * x0 - 1)


def test_a_network_with_edms_preconditioning_is_called_at_scaled_x_and_log_sigma(exploding):
    unet, loaded = exploding
    sigma = torch.tensor([1.5, 0.7, 16.0], dtype=torch.float64)
    level = sigma.float().view(-1, 1, 1, 1)
    x = 0.5 + level * torch.randn(3, 1, 8, 8)
    denoiser = loaded(prediction="edm", sigma_data=0.3, time={"input": "log-sigma", "scale": 0.25}).denoiser
    seen = []
    denoiser.network = lambda x, t: seen.append((x, t)) or x.sin()
    norm = (level**2 + 0.09).sqrt()
    expected = 0.09 / norm**2 * x + 0.3 * level / norm * (x / norm).sin()
    torch.testing.assert_close(denoiser(x, sigma).x0, expected)
    torch.testing.assert_close(seen[0][0], x / norm)
    torch.testing.assert_close(seen[0][1], sigma.float().log() / 4)


def test_a_network_may_predict_its_variance_if_its_card_says_so(tmp_path):
    folder = write_checkpoint(tmp_path, learned_variance=True)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    model = load_model(load_card(folder), CPU)
    unet = UNet2DModel.from_pretrained(folder / "unet").eval()
    x, index = torch.randn(3, 1, 28, 28), torch.tensor([0.0, 400.0, 700.0])
    sigma = torch.from_numpy(model.schedule.sigma(index.double().numpy()))
    scale = torch.from_numpy(model.schedule.scale_of(sigma.numpy())).float().view(3, 1, 1, 1)
    level = sigma.float().view(3, 1, 1, 1)
    with torch.inference_mode():
        noise, position = unet(scale * x, index).sample.chunk(2, dim=1)
        denoised = model.denoiser(x, sigma)
    torch.testing.assert_close(denoised.x0, (x - level * noise).clamp(-1, 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(denoised.variance_position, position, rtol=0, atol=1e-4)
    del card["variance"]
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(CardError, match="unet returns 2 channels for samples of 1, as .* say: variance: learned-range"):
        load_model(load_card(folder), CPU)


def test_a_card_can_not_say_that_a_network_predicts_a_variance_which_does_not(copied):
    folder = copied(variance="learned-range")
    with pytest.raises(CardError, match="unet returns 4 channels for samples of 4; with .* learned-range it must"):
        load_model(load_card(folder), CPU)


def trajectory_of_diffusers(unet, betas, start, steps, clip):
    scheduler = DDIMScheduler(**betas, timestep_spacing="trailing", clip_sample=clip, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    x = start
    with torch.inference_mode():
        for t in scheduler.timesteps:
            output = unet(x, t.expand(len(x))).sample
            x = scheduler.step(output, t, x, eta=0.0, use_clipped_model_output=clip).prev_sample
    return x


@pytest.mark.parametrize(
    ("name", "clip", "betas"),
    [
        ("ddpm-mnist", True, {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
        ("ldm-mnist", False, {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}),
    ],
)
def test_samples_equal_those_of_the_diffusers_pipelines_networks(name, clip, betas):
    card = load_card(name)
    model = load_model(card, CPU)
    pipeline = (DDPMPipeline if name == "ddpm-mnist" else LDMPipeline).from_pretrained(card.directory)
    noise = NoiseSource(0, range(2), card.sample_shape)
    grid = time_grid(model.schedule, 5)
    with torch.inference_mode():
        x0 = integrate(DDIM(), model.denoiser, grid, model.schedule, noise)
        images = model.codec.decode(x0)
    theirs = trajectory_of_diffusers(pipeline.unet.float(), betas, noise.normal("start", 0), 5, clip)
    torch.testing.assert_close(x0, theirs, rtol=0, atol=5e-4)
    if name == "ldm-mnist":
        vae = pipeline.vqvae.float()
        with torch.inference_mode():
            decoded = vae.decode(theirs / vae.config.scaling_factor).sample[..., 2:30, 2:30]
        torch.testing.assert_close(images, decoded, rtol=0, atol=1e-3)
    assert images.shape == (2, *card.image_shape)


def test_memory_layout_changes_rounding_only():
    card = load_card("ldm-mnist")
    x, sigma = torch.randn(3, *card.sample_shape), torch.full((3,), 2.0, dtype=torch.float64)
    with torch.inference_mode():
        plain, last = (load_model(card, CPU, channels_last=layout).denoiser(x, sigma).x0 for layout in (False, True))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)


def test_pixel_codec_maps_the_data_range_to_minus_one_to_one():
    x = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(PixelCodec(0.0, 1.0).decode(x), torch.tensor([-1.0, -0.5, 1.0]).view(1, 1, 1, 3))
    assert PixelCodec(-1.0, 1.0).decode(x) is x


def test_latent_codec_unscales_and_crops_the_middle():
    seen = []

    def decoder(latents):
        seen.append(latents)
        return torch.arange(36.0).view(1, 1, 6, 6)

    images = LatentCodec(decoder, 0.5, crop=2).decode(torch.ones(1, 1, 2, 2))
    assert torch.equal(seen[0], torch.full((1, 1, 2, 2), 2.0))
    assert images.flatten().tolist() == [14, 15, 20, 21]
