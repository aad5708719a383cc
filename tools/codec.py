"""``vcm-mt encode, decode, export, info`` by its old name; see ``python tools/codec.py --help``."""

from vcm_mt.cli.codec import main

if __name__ == "__main__":
    raise SystemExit(main())
