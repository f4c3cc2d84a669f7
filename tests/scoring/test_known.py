"""What is known of extractors without torch is what the networks have."""

from diffbench.scoring import extractor, known
from diffbench.scoring.resize import RESIZES


def test_names_are_those_that_can_be_loaded():
    assert tuple(RESIZES) == known.INCEPTION_RESIZES
    assert tuple(extractor._EMBEDDED) == known.EMBEDDED
    names = known.known_extractors()
    assert len(set(names)) == len(names) == 1 + len(RESIZES) + len(known.BACKBONES) + len(known.installed())
