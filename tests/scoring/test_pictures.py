"""Image sets: what is read, and 40 that are not, each with its reason and never a traceback."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from diffbench.errors import DiffbenchError, ImagesError
from diffbench.scoring.pictures import DatasetPictures, open_pictures

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (70, 3, 6, 5), dtype=np.uint8)
GREY = RNG.integers(0, 256, (70, 1, 6, 5), dtype=np.uint8)


def whole(pictures):
    blocks = list(pictures.blocks())
    assert all(len(block) <= 64 and block.dtype == torch.uint8 and block.is_contiguous() for block in blocks)
    images = torch.cat(blocks)
    assert (len(images), tuple(images.shape[1:])) == (pictures.count, pictures.shape)
    return images.numpy()


def save(folder, images, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{index:03d}{suffix}")
    return folder


@pytest.mark.parametrize("images", [RGB, GREY], ids=["rgb", "grey"])
def test_the_same_images_from_everything(tmp_path, images):
    last = images.transpose(0, 2, 3, 1)
    np.save(tmp_path / "first.npy", images)
    np.save(tmp_path / "last.npy", last)
    np.savez(tmp_path / "plain.npz", last)
    np.savez_compressed(tmp_path / "packed.npz", labels=np.arange(70), images=images)
    sources = [open_pictures(tmp_path / name) for name in ("first.npy", "last.npy", "plain.npz", "packed.npz")]
    sources.append(open_pictures(save(tmp_path / "folder", images)))
    sources.append(DatasetPictures(torch.utils.data.TensorDataset(torch.from_numpy(images))))
    for source in sources:
        np.testing.assert_array_equal(whole(source), images)
    if images is GREY:
        np.save(tmp_path / "flat.npy", images[:, 0])
        np.testing.assert_array_equal(whole(open_pictures(tmp_path / "flat.npy")), images)


def test_a_folders_order_is_that_of_its_paths_and_others_are_counted(tmp_path):
    save(tmp_path, GREY[:3])
    save(tmp_path / "b", GREY[3:5])
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    found = open_pictures(tmp_path)
    np.testing.assert_array_equal(whole(found), GREY[:5])
    assert found.ignored == 2


def test_jpeg_is_read_as_it_was_decoded(tmp_path):
    folder = save(tmp_path / "jpeg", RGB[:2], ".JPG")
    expected = np.asarray(Image.open(folder / "001.JPG")).transpose(2, 0, 1)
    np.testing.assert_array_equal(whole(open_pictures(folder))[1], expected)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_floats_of_a_stated_range_go_through_the_one_quantiser(tmp_path, low, high):
    floats = (low + (high - low) * RGB / 255).astype(np.float32)
    np.save(tmp_path / "floats.npy", floats)
    np.testing.assert_array_equal(whole(open_pictures(tmp_path / "floats.npy", (low, high))), RGB)


def png(width, height, depth=8, colour=0, pixels=b"\0" * 100, more=None):
    """A PNG of ``pixels``, by default one that claims a size without holding it; ``more`` is a chunk before them."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *([more] if more else []), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def encoded(mode, **options):
    buffer = io.BytesIO()
    options = {"format": "PNG", **options}
    size = options.pop("size", (5, 6))
    Image.new(mode, size).save(buffer, **options)
    return buffer.getvalue()


FILES = {
    "alpha": (encoded("RGBA"), "has an alpha channel; flatten it to RGB first"),
    "grey alpha": (encoded("LA"), "has an alpha channel; flatten it to grey first"),
    "palette": (encoded("P"), "has a palette"),
    "one bit": (encoded("1"), "one bit a pixel"),
    "16 bits, which Pillow reads as 8": (png(5, 6, 16, 2, (b"\0" + b"\x12\x34" * 15) * 6), "16 bits a channel"),
    "transparent colour": (png(5, 6, 8, 0, (b"\0" + b"\7" * 5) * 6, (b"tRNS", b"\0\7")), "transparent colour"),
    "animated": (
        encoded("L", save_all=True, append_images=[Image.new("L", (5, 6), 9)]),
        "is animated; save each frame",
    ),
    "16 bit": (encoded("I;16"), "has 16 bits a channel; 8 bits a channel"),
    "cmyk": (encoded("CMYK", format="JPEG"), "is CMYK"),
    "another size": (encoded("L", size=(6, 6)), "is 6 x 6 grey, but 000.png is 5 x 6 grey"),
    "another kind": (encoded("RGB"), "is 5 x 6 RGB, but 000.png is 5 x 6 grey"),
    "truncated": (encoded("L", size=(300, 300))[:90], "can't be decoded"),
    "no pixels": (png(5, 6)[:33], "can't be decoded|neither"),
    "empty": (b"", "neither a PNG nor a JPEG"),
    "text": (b"hello", "neither a PNG nor a JPEG"),
    "a gif": (encoded("L", format="GIF"), "neither a PNG nor a JPEG"),
    "bomb": (png(60000, 60000), "60000|exceeds limit|bomb"),
    "smaller bomb": (png(9000, 9000), "claims 9000 x 9000 pixels"),
    "html": (b"<!doctype html><script>alert(1)</script>", "neither a PNG nor a JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_among_good_ones_is_named(tmp_path, name):
    content, said = FILES[name]
    save(tmp_path, GREY[:2])
    (tmp_path / "001.png").write_bytes(content)
    with pytest.raises(ImagesError, match=said) as caught:
        whole(open_pictures(tmp_path))
    assert "001.png" in str(caught.value) and "\n" not in str(caught.value)


def npy(array, claims=None):
    """Bytes of a .npy; ``claims`` is the shape that its header states instead."""
    buffer = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": claims or array.shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + array.tobytes()


def header(text, version=(1, 0)):
    """Bytes of a .npy with this header, and 60 bytes of values."""
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + bytes(60)


SHAPE = "{'descr': '|u1', 'fortran_order': False, 'shape': %s}"

ARRAYS = {
    "below zero": (header(SHAPE % "(-2, 1, -6, 5)"), "claims the shape -2 x 1 x -6 x 5"),
    "unclosed": (header("(" * 9000), "no array in numpy's format"),
    "deep": (header("[" * 4000 + "]" * 4000), "no array in numpy's format"),
    "of a version to come": (header(SHAPE % "(2, 1, 6, 5)", (9, 9)), "version 9.9 is none of numpy's"),
    "long header": (header(" " * 20_000, (2, 0)), "its header claims 20,000 bytes, at most 10,000"),
    "claims too much": (npy(GREY[:2], (10**6, 1, 6, 5)), "does not hold the 1000000 x 1 x 6 x 5 values"),
    "claims what overflows": (npy(GREY[:2], (2**40, 2**40, 3)), "does not hold"),
    "claims too little": (npy(GREY[:2], (1, 1, 6, 5)), "does not hold the 1 x 1 x 6 x 5 values"),
    "huge images": (npy(np.zeros((1, 1), np.uint8), (0, 1, 2**14, 2**14)), "holds no images|does not hold"),
    "none": (npy(GREY[:0]), "holds no images$"),
    "no pixels": (npy(RGB[:2, :, :0]), "holds no images with pixels: 2 x 3 x 0 x 5"),
    "floats": (npy(RGB.astype(np.float32)), "holds float32; say which values are black and white, as in --range -1,1"),
    "ints": (npy(RGB.astype(np.int64)), "holds int64; images are uint8"),
    "bools": (npy(RGB > 7), "holds bool"),
    "complex": (npy(RGB.astype(complex)), "holds complex128"),
    "one image": (npy(GREY[0, 0]), "is 6 x 5; expected N x H x W x C"),
    "five axes": (npy(GREY[None]), "expected N x H x W x C"),
    "four channels": (npy(np.zeros((2, 6, 5, 4), np.uint8)), "has no axis of 1 or 3 channels"),
    "either": (npy(np.zeros((2, 3, 5, 3), np.uint8)), "could be either"),
    "no magic": (b"hello", "no array in numpy's format"),
    "nothing": (b"", "no array in numpy's format"),
    "half a header": (npy(GREY)[:40], "no array in numpy's format"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
def test_bad_arrays(tmp_path, name, packed):
    content, said = ARRAYS[name]
    path = tmp_path / ("images.npz" if packed else "images.npy")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("arr_0.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(ImagesError, match=said) as caught:
        whole(open_pictures(path))
    assert "images.np" in str(caught.value) and "\n" not in str(caught.value)


def test_pickles_are_never_loaded(tmp_path):
    canary = tmp_path / "canary"

    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    np.save(tmp_path / "pickle.npy", np.array([Touch()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", images=np.array([Touch()], dtype=object))
    for name in ("pickle.npy", "pickle.npz"):
        with pytest.raises(ImagesError, match="pickled objects, which are never loaded"):
            open_pictures(tmp_path / name)
    assert not canary.exists()


def test_a_bomb_in_the_header_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("arr_0.npy", "w") as member:
            member.write(b"\x93NUMPY\2\0" + struct.pack("<I", 2**26))
            for _ in range(2**6):
                member.write(b" " * 2**20)
    tracemalloc.start()
    with pytest.raises(ImagesError, match="its header claims 67,108,864 bytes"):
        open_pictures(tmp_path / "bomb.npz")
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_anywhere_in_an_archive_is_one_line(tmp_path, method):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("arr_0.npy", npy(RGB[:9]))
    data = path.read_bytes()
    refused = 0
    for place in [*range(200), *range(200, len(data) - 120, 31), *range(len(data) - 120, len(data))]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        try:
            whole(open_pictures(path))
        except ImagesError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 200


def test_a_bomb_costs_no_memory(tmp_path):
    """A kilobyte a gigabyte: its header is refused without unpacking it."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("arr_0.npy", "w") as member:
            member.write(npy(np.zeros(0, np.uint8), (1, 1, 2**14, 2**14)))
            for _ in range(2**8):
                member.write(bytes(2**20))
    with pytest.raises(ImagesError, match=r"images of 16384 x 16384 pixels"):
        open_pictures(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "No such file"),
        (lambda p: p.mkdir(), "no PNG or JPEG file in it$"),
        (lambda p: (p.mkdir(), (p / "a.txt").write_text("x")), "no PNG or JPEG file in it, 1 others"),
        (lambda p: os.mkfifo(p), "neither a folder nor a file"),
        (lambda p: p.symlink_to("/dev/zero"), "neither a folder nor a file"),
        (lambda p: p.write_text("x"), "expected a folder of PNG or JPEG files"),
        (lambda p: (p.mkdir(), os.mkfifo(p / "a.png")), "a.png: not a regular file"),
        (lambda p: (p.mkdir(), (p / "a.png").symlink_to("/dev/zero")), "a.png: not a regular file"),
        (lambda p: (p.mkdir(), (p / "a.png").symlink_to("nowhere")), "a.png: can't be decoded"),
    ],
)
def test_bad_paths(tmp_path, make, said):
    make(tmp_path / "set")
    with pytest.raises(ImagesError, match=said):
        open_pictures(tmp_path / "set")


def test_a_broken_zip(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=RGB)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[200] ^= 255
    (tmp_path / "a.npz").write_bytes(bytes(data))
    with pytest.raises(ImagesError):
        whole(open_pictures(tmp_path / "a.npz"))
    (tmp_path / "b.npz").write_bytes(b"PK")
    with pytest.raises(ImagesError, match="can't be read as .npz"):
        open_pictures(tmp_path / "b.npz")
    np.savez(tmp_path / "two.npz", a=RGB, b=RGB)
    with pytest.raises(ImagesError, match=r"holds a.npy, b.npy; expected one array, or images or arr_0"):
        open_pictures(tmp_path / "two.npz")


def test_floats_in_another_range_than_stated(tmp_path):
    np.save(tmp_path / "signed.npy", (RGB / 127.5 - 1).astype(np.float32))
    with pytest.raises(ImagesError, match="image 0 has values from -.* outside 0 to 1"):
        whole(open_pictures(tmp_path / "signed.npy", (0.0, 1.0)))
    bad = (RGB / 255).astype(np.float32)
    bad[66, 0, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    with pytest.raises(ImagesError, match=r"nan.npy: image of sample 66 .* not finite"):
        whole(open_pictures(tmp_path / "nan.npy", (0.0, 1.0)))
    np.save(tmp_path / "uint8.npy", RGB)
    save(tmp_path / "folder", GREY[:1])
    for name, values in (
        ("uint8.npy", (0.0, 1.0)),
        ("folder", (0.0, 1.0)),
        ("nan.npy", (1.0, 1.0)),
        ("nan.npy", (0.0, np.inf)),
    ):
        with pytest.raises(DiffbenchError, match="range"):
            open_pictures(tmp_path / name, values)


class Items(list):
    def __init__(self, *items):
        super().__init__(items)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "empty"),
        ([np.zeros((1, 2, 2), np.uint8)], "item 0 of the dataset is no uint8 tensor"),
        ([torch.zeros(1, 2, 2)], "no uint8 tensor"),
        ([torch.zeros(2, 2, dtype=torch.uint8)], "no uint8 tensor"),
        (
            [torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 2, 3, dtype=torch.uint8)],
            "item 1 of the dataset is",
        ),
    ],
)
def test_bad_datasets(items, said):
    with pytest.raises(ImagesError, match=said):
        list(DatasetPictures(Items(*items)).blocks())


def test_floats_in_half_of_their_stated_range_are_in_another(tmp_path):
    np.save(tmp_path / "unit.npy", (RGB / 255).astype(np.float32))
    for values in ((-1.0, 1.0), (0.0, 255.0)):
        with pytest.raises(ImagesError, match=r"all values lie between 0 and 1, in half of .* is that their range\?"):
            whole(open_pictures(tmp_path / "unit.npy", values))
    np.testing.assert_array_equal(whole(open_pictures(tmp_path / "unit.npy", (0.0, 1.0))), RGB)
