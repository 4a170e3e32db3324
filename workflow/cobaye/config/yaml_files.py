"""YAML files, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cobaye.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file.

    Raises ConfigError, also for a key that stands twice, and for one that YAML takes for another
    value than a text or a number, such as ``on`` and ``no``.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: not YAML that can be read: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {content!r}")
    return content


class _Strict(yaml.SafeLoader):
    """YAML's safe loader, which refuses keys that stand twice or are no text, and huge numbers."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        # Python refuses to write integers of thousands of digits into a message.
        value = super().construct_yaml_int(node)
        if abs(value) >= 2**256:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a number of more than 256 bits")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # A merge, `<<: *other`, may repeat keys: those of the mapping override them.
        written = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key) for key in written]
        line = f"line {node.start_mark.line + 1}"
        for node_of_key, key in zip(written, keys, strict=True):
            if isinstance(key, bool | None):
                said = f"YAML takes the key {node_of_key.value!r} for {key}: put it in quotes"
                raise yaml.YAMLError(f"{said}, {line}")
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice, {line}")
        return super().construct_mapping(node, deep)


_Strict.add_constructor("tag:yaml.org,2002:int", _Strict.construct_yaml_int)
