"""``python -m sqlgen`` and the ``sqlgen`` script."""

from sqlgen.cli.app import main

if __name__ == "__main__":
    main()
