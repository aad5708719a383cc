"""``vcm-mt prepare`` by its old name; see ``python tools/prepare_mini.py --help``."""

from vcm_mt.cli.prepare import main

if __name__ == "__main__":
    raise SystemExit(main())
