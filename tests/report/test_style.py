def test_shortened_names_stay_apart():
    from diffbench.report.style import shorten_apart

    names = ["a", "sampler with a long name" + "x" * 40, *(f"{'y' * 50} eta={eta}" for eta in (0, 1)),
             *(f"{'z' * 40}{middle}{'z' * 40}" for middle in "uv")]  # fmt: skip
    short = shorten_apart(names, 26)
    assert short["a"] == "a" and len(set(short.values())) == len(names)
    assert all(len(label) <= 26 for label in short.values())
    assert short[names[2]].endswith("eta=0") and short[names[1]].startswith("sampler with a long name")
