"""The line to the server is cut at the packets of a populate (faults 7, 8), in three ways; all of them each way is `nox -s torture`."""

from __future__ import annotations

import pytest

from .harness import cut, through_proxy
from .proxy import WAYS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)
def test_a_line_cut_at_any_packet_costs_nothing(url, way):
    with through_proxy(url) as (lab, proxy):
        assert cut(lab, proxy, way, WAYS.index(way), len(WAYS)) > 15
