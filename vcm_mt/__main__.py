"""``python -m vcm_mt`` is the command ``vcm-mt``."""

from vcm_mt.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
