"""``sparsenas publish``: the found network as a model folder of the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path

from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.publishing import CARD, publish_job


def publish(
    run: Path,
    to: Path,
    license: str = "",
    upload: str = "",
    private: bool = False,
    trust_plugins: list[str] | None = None,
    data: DataPlace = HERE,
) -> None:
    """Writes a model folder: the network as files that load without sparsenas, and a model card.

    The folder has model.safetensors, config.json, net.pt2, net.onnx, load.py, README.md, and net.py where a plain
    network was opened. Nothing leaves this machine unless --upload is given.

    Args:
        run: run folder with a trained network.
        to: the folder, new, empty or published before.
        license: license of the weights for the card, such as apache-2.0. Without it the card states none.
        upload: repository of the Hugging Face hub, as OWNER/NAME, to which the folder is uploaded.
        private: a repository that is made by --upload is private.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    print(publish_job(run, to, license, upload, private, trust_plugins or [], data))
    if not upload:
        print(
            f"Read {to / CARD}, the model card, before you share it; load() of load.py there gives the network.\n"
            "The same command with --upload OWNER/NAME puts the folder on the Hugging Face hub.",
            file=sys.stderr,
        )
