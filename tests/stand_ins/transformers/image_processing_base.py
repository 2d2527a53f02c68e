"""Stands in for ``transformers.image_processing_base``."""

import json
from pathlib import Path
from typing import Any


class ImageProcessingMixin:
    @staticmethod
    def get_image_processor_dict(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return json.loads((Path(folder) / "preprocessor_config.json").read_text()), {}
