"""``vcm-mt test`` by its old name; see ``python tools/test.py --help``."""

from vcm_mt.cli.test import main

if __name__ == "__main__":
    raise SystemExit(main())
