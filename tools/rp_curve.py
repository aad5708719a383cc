"""``vcm-mt curve`` by its old name; see ``python tools/rp_curve.py --help``."""

from vcm_mt.cli.curve import main

if __name__ == "__main__":
    raise SystemExit(main())
