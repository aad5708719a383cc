"""``vcm-mt train`` by its old name; see ``python tools/train.py --help``."""

from vcm_mt.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
