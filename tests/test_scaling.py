"""The calculator of many GPUs: against arithmetic by hand, and no rate where none was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.scaling import Cluster, Rate, Stage, estimate, exchange_seconds, given, main, read_rates

LINK = Cluster(bandwidth=1e9, bytes_each=4, decoded_per_second=None, cores=4)
STAGE = Stage("job", "work", images=3600 * 1000, batch=100, parameters=1e6)


def test_hours() -> None:
    assert estimate(STAGE, Rate(1000), 1, LINK).hours == pytest.approx(1)
    four = estimate(STAGE, Rate(1000), 4, LINK)
    assert four.exchange_ms == pytest.approx(1000 * 2 * 3 / 4 * 4e6 / 1e9)
    assert four.hours == pytest.approx(36_000 * (0.025 + 0.006) / 3600)
    assert (four.limit, four.cores) == ("computing", None)
    assert estimate(STAGE, Rate(20_000), 4, LINK).limit == "gradients"
    assert exchange_seconds(1e6, 1, LINK) == 0


def test_decoding() -> None:
    slow = Cluster(1e9, 4, decoded_per_second=100, cores=4)
    found = estimate(STAGE, Rate(1000), 1, slow)
    assert found.limit == "decoding"
    assert found.cores == pytest.approx(10)
    assert found.hours == pytest.approx(2.5)


def test_rates_are_given_or_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--gpus", "8"])
    out = capsys.readouterr().out
    assert out.count("not measured") == 4 * out.count("epochs") + 4 * out.count("SPOS search")
    (tmp_path / "a.json").write_text(json.dumps({"rows": [{"workload": "spos imagenet", "images_per_second": 9}]}))
    (tmp_path / "a.csv").write_text("workload,images_per_second,mebibytes\nspos imagenet,9,2048\n")
    assert read_rates(tmp_path / "a.json") == {"spos imagenet": Rate(9)}
    assert read_rates(tmp_path / "a.csv") == {"spos imagenet": Rate(9, 2048)}
    assert given(["spos imagenet=2e3"]) == {"spos imagenet": Rate(2000)}
