"""DINOv2 and CLIP from folders of the real classes, small; preprocessing against the libraries' own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import diffbench
from diffbench import results
from diffbench.catalog import METRICS
from diffbench.errors import ScoringError, UsageError, WeightsError
from diffbench.scoring.extractor import backbone_extractor, load_extractor
from diffbench.scoring.interval import Score
from diffbench.scoring.metric import compute
from diffbench.scoring.resize import pillow_bicubic
from diffbench.scoring.transformers_extractor import BACKBONES, embed_prompts

transformers = pytest.importorskip("transformers")
IMAGES = torch.randint(0, 256, (2, 3, 40, 33), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def saved(name, folder):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name.startswith("dino"):
            config = transformers.Dinov2Config(patch_size=14, image_size=70, mlp_ratio=2, **SMALL)
            network = transformers.Dinov2Model(config)
        else:
            config = transformers.CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=12, **SMALL)
            network = transformers.CLIPVisionModelWithProjection(config)
    network.eval().save_pretrained(folder)
    return network


@pytest.mark.parametrize("name", BACKBONES)
def test_features_are_those_of_the_network_on_its_own_preprocessing(name, tmp_path):
    network = saved(name, tmp_path / name)
    extractor = backbone_extractor(name, tmp_path / name)
    backbone = BACKBONES[name]
    size = 224 if name.startswith("dino") else 32
    if backbone.resize == "bicubic":
        levels = torch.nn.functional.interpolate(IMAGES.float(), size=(size, size), mode="bicubic")
    else:
        pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), 3) for image in IMAGES]
        levels = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2).float()
    processor = transformers.CLIPImageProcessor(
        do_resize=False, do_center_crop=False, image_mean=backbone.mean, image_std=backbone.std, do_rescale=False
    )
    pixels = processor(list(levels / 255), return_tensors="pt", input_data_format="channels_first")["pixel_values"]
    with torch.no_grad():
        known = getattr(network(pixel_values=pixels), backbone.output)
    found = extractor(IMAGES)
    torch.testing.assert_close(found.features, known, rtol=1e-4, atol=1e-5)
    assert found.features.shape == (2, extractor.dim) and found.logits.shape == (2, 0)
    assert extractor.resize == backbone.resize and len(extractor.sha256) == 64
    torch.testing.assert_close(extractor(IMAGES[:, :1]).features, extractor(IMAGES[:, :1].repeat(1, 3, 1, 1)).features)


def test_pillows_bicubic():
    image = IMAGES[0, 0].numpy()
    known = np.asarray(Image.fromarray(image).resize((50, 50), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pillow_bicubic(IMAGES[:1, :1].float(), 50)[0, 0].numpy(), known)


def test_the_constants_are_those_of_the_processors():
    clip = transformers.CLIPImageProcessor()
    for name, backbone in BACKBONES.items():
        if name.startswith("clip"):
            assert (list(backbone.mean), list(backbone.std)) == (list(clip.image_mean), list(clip.image_std))
    dino = BACKBONES["dinov2-vitl14"]
    assert (dino.mean, dino.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_repositories_and_resizes_are_the_published_ones():
    """Stein et al. 2023 resize by Pillow, Jayasumana et al. 2024 by torch without antialiasing."""
    assert {name: (backbone.repository, backbone.resize) for name, backbone in BACKBONES.items()} == {
        "dinov2-vitl14": ("facebook/dinov2-large", "pillow-bicubic"),
        "clip-vitb32": ("openai/clip-vit-base-patch32", "pillow-bicubic"),
        "clip-vitl14-336": ("openai/clip-vit-large-patch14-336", "bicubic"),
    }


def test_a_missing_or_wrong_folder_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(WeightsError, match="needs config.json and model.safetensors of facebook/dinov2-large in"):
        load_extractor("dinov2-vitl14")
    saved("dinov2-vitl14", tmp_path / "dinov2-vitl14")
    assert load_extractor("dinov2-vitl14").dim == 16
    saved("dinov2-vitl14", tmp_path / "clip-vitb32")
    with pytest.raises(WeightsError, match="clip-vitb32"):
        load_extractor("clip-vitb32")
    (tmp_path / "dinov2-vitl14" / "model.safetensors").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="no weights of Dinov2Model"):
        load_extractor("dinov2-vitl14")
    with pytest.raises(UsageError, match="dinov2-vitl14"):
        load_extractor("dinov2")


def test_no_classes_no_inception_score():
    found = compute(METRICS["is"], {}, {"features": np.ones((3, 2)), "logits": np.ones((3, 0))}, None)
    assert isinstance(found, Score) and found.value is None and "no classes" in found.reason


def whole_clip(folder):
    """A small CLIP with both networks and a tokenizer, as its repositories have them."""
    text = {"vocab_size": 20, "max_position_embeddings": 9, "eos_token_id": 1, "bos_token_id": 0,
            "projection_dim": 12, **SMALL}  # fmt: skip
    vision = {"image_size": 32, "patch_size": 8, "projection_dim": 12, **SMALL}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        ).eval()
    clip.save_pretrained(folder)
    tokens = ["<|startoftext|>", "<|endoftext|>", *"abcdefgh", *(f"{letter}</w>" for letter in "abcdefgh")]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return clip


def test_prompts_are_embedded_by_the_same_clip(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "clip-vitb32").mkdir()
    clip = whole_clip(tmp_path / "clip-vitb32")
    extractor = load_extractor("clip-vitb32")
    prompts = ["a b", "c", "d e f g h a b c d e f"]
    found = embed_prompts("clip-vitb32", extractor.sha256, prompts, torch.device("cpu"))
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path / "clip-vitb32")
    given = tokenizer(prompts, padding="max_length", truncation=True, max_length=9, return_tensors="pt")
    pixels = extractor.network.network.config.image_size
    with torch.no_grad():
        known = clip(**given, pixel_values=torch.zeros(1, 3, pixels, pixels)).text_embeds
    known = known.numpy()
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), known, rtol=1e-4, atol=1e-5)
    images = (tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8))
    np.save(*images)
    table = diffbench.score(images[0], extractor="clip-vitb32", metrics=["is"], prompts=prompts).frame
    row = results.rows(table)[-1]
    assert row["metric"] == "clip_score" and 0 <= row["value"] <= 2.5 and row["n"] == 3
    with pytest.raises(ScoringError, match="3 images of dimension 12, but 2 prompts"):
        diffbench.score(images[0], extractor="clip-vitb32", metrics=["is"], prompts=prompts[:2])
    with pytest.raises(WeightsError, match="have changed"):
        embed_prompts("clip-vitb32", "0" * 64, prompts, torch.device("cpu"))
    with pytest.raises(UsageError, match="not dinov2-vitl14"):
        embed_prompts("dinov2-vitl14", "", prompts, torch.device("cpu"))


def test_weights_of_another_shape_are_refused_not_drawn(tmp_path):
    folder = tmp_path / "clip-vitb32"
    folder.mkdir()
    whole_clip(folder)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["projection_dim"] = 20
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="no weights of CLIPVisionModelWithProjection"):
        backbone_extractor("clip-vitb32", folder)
