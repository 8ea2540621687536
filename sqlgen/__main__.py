"""``python -m sqlgen`` and the ``sqlgen`` script."""

from sqlgen.cli import signals


def main() -> None:
    """Run the command line; a signal ends it with a message from the first moment on."""
    with signals.ended():
        from sqlgen.cli.app import main as run

        run()


if __name__ == "__main__":
    main()
