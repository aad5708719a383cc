"""``vcm-mt encode``, ``decode``, ``export`` and ``info`` by their old name."""

from vcm_mt.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
