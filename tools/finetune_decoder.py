"""``vcm-mt finetune`` by its old name; see ``python tools/finetune_decoder.py --help``."""

from vcm_mt.cli.finetune import main

if __name__ == "__main__":
    raise SystemExit(main())
