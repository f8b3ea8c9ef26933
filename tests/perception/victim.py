"""A process of perception that a test kills: the inbox and the segmenter on the log in the folder it is given."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from services.common.text.extract import Extractor
from services.perception.sessions.segmentation.surprise import Surprise
from tests.perception.world import World


def main(folder: Path) -> None:
    extractor = Extractor()
    extractor.load()
    world = World(folder, extractor)
    inbox, segmenter = world.inbox(batch=5), world.segmenter(Surprise(gamma=0.0), batch=5)
    while True:
        inbox.step()
        segmenter.step()
        time.sleep(0.02)  # slow enough that a kill falls into the middle of the work


if __name__ == "__main__":
    main(Path(sys.argv[1]))
