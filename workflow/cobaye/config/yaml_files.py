"""YAML files, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cobaye.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file; raises ConfigError, also for a key that stands twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {content!r}")
    return content


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # A merge, `<<: *other`, may repeat keys: those of the mapping override them.
        written = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key) for key in written]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)
