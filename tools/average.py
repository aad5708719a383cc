"""``vcm-mt average`` by its old name; see ``python tools/average.py --help``."""

from vcm_mt.cli.average import main

if __name__ == "__main__":
    raise SystemExit(main())
