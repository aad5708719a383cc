"""``vcm-mt download`` by its old name; see ``python tools/download.py --help``."""

from vcm_mt.cli.download import main

if __name__ == "__main__":
    raise SystemExit(main())
