"""`python -m cobaye`: the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        from cobaye.workspace import command
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cobaye"):
            raise
        print(f"cobaye: no {error.name}: pip install 'cobaye[workflow]'", file=sys.stderr)
        return 1
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
