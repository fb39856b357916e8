"""``python3 -m dtranspose replay RECORDING --worker MODULE:CLASS``."""

from __future__ import annotations

import sys

from . import replaying


def main() -> int:
    given = sys.argv[1:]
    if given[:1] == ["replay"]:
        return replaying.main(given[1:])
    print("usage: python3 -m dtranspose replay ... (--help tells more)", file=sys.stderr)
    return 0 if given in (["--help"], ["-h"]) else 2


if __name__ == "__main__":
    sys.exit(main())
