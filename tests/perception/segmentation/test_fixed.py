from services.perception.sessions.segmentation.fixed import FixedSize
from tests.perception.segmentation.folding import axis, episodes, units


def test_every_episode_has_the_configured_size_and_the_rest_stays_open() -> None:
    found = episodes(FixedSize(units=4), units([axis(0)] * 10))
    assert [(len(ids), reason) for ids, reason in found] == [(4, "count"), (4, "count"), (2, "end")]
