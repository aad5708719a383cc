"""``vcm-mt bd-rate`` by its old name; see ``python tools/bd_rate.py --help``."""

from vcm_mt.cli.bd_rate import main

if __name__ == "__main__":
    raise SystemExit(main())
