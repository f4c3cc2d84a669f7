import json
from pathlib import Path

import pytest

from diffbench.errors import WeightsError
from diffbench.models.remote_code import refuse_code_in_config, refuse_remote_code

LDM = {
    "_class_name": "LDMTextToImagePipeline",
    "_diffusers_version": "0.35.0",
    "bert": ["latent_diffusion", "LDMBertModel"],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "tokenizer": ["transformers", "BertTokenizer"],
    "force_zeros": True,
}


def test_pipelines_of_the_libraries_pass(tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"down_block_types": ["A", "B"], "auto_map": None}))
    (tmp_path / "README.md").write_text("import os")
    refuse_remote_code(LDM, tmp_path)
    refuse_remote_code(LDM, Path("does/not/exist"))


def test_a_pipeline_that_diffusers_saved_passes(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(8, 1, 1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    refuse_remote_code(json.loads((tmp_path / "model_index.json").read_text()), tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"unet": ["my_module", "MyUNet"]}, r'"unet" is \["my_module", "MyUNet"\], neither of diffusers nor of'),
        ({"unet": ["diffusers.x", "MyUNet"]}, "neither of diffusers nor of transformers"),
        ({"unet": ["os", "system"]}, "neither of diffusers nor of transformers"),
        ({"unet": ["diffusers", "../x"]}, "neither of diffusers nor of transformers"),
        ({"unet": ["diffusers", None]}, "neither of diffusers nor of transformers"),
        ({"unet": ["diffusers"]}, "neither of diffusers nor of transformers"),
        ({"unet": [["a", "b"], "C"]}, "neither of diffusers nor of transformers"),
        ({"../unet": ["diffusers", "UNet2DModel"]}, "is no path inside the checkpoint's folder"),
        ({"_class_name": ["my_pipeline", "MyPipeline"]}, r"_class_name is \[.*\], not a class of diffusers"),
        ({"_class_name": None}, "_class_name is null, not a class"),
        ({"custom_pipeline": "owner/name"}, 'has "custom_pipeline", which names code'),
        ({"auto_map": {"AutoModel": "my.Model"}}, 'model_index.json: has "auto_map", which names code'),
    ],
)
def test_an_index_that_brings_code_is_refused(tmp_path, change, says):
    with pytest.raises(WeightsError, match=says):
        refuse_remote_code({**LDM, **change}, tmp_path)


@pytest.mark.parametrize("file", ["pipeline.py", "bert/modeling.py", "scheduler/my_module.py"])
def test_python_files_are_refused(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(WeightsError, match=f"{file}: is code, and a checkpoint's own code is not run"):
        refuse_remote_code(LDM, tmp_path)


@pytest.mark.parametrize("file", ["config.json", "bert/config.json", "tokenizer/tokenizer_config.json"])
def test_configs_that_name_code_are_refused(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text('{"auto_map": {"AutoModel": "modeling.Mine"}}')
    with pytest.raises(WeightsError, match=f'{file}: has "auto_map", which names code'):
        refuse_remote_code(LDM, tmp_path)
    with pytest.raises(WeightsError, match="which names code"):
        refuse_code_in_config({"auto_map": {"AutoModel": "modeling.Mine"}}, tmp_path)
