"""``python -m bench`` is ``bench``."""

from bench.cli.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
