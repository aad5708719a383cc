"""``vcm-mt report`` by its old name; see ``python tools/report.py --help``."""

from vcm_mt.cli.report import main

if __name__ == "__main__":
    raise SystemExit(main())
