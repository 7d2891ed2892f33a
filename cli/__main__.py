"""``python -m cli``: the same as ``ugtj``."""

from cli.app import main

main()
