"""Writes the bundle of Kibana's saved objects from its sources; ``--check`` only compares.

python deploy/docs/kibana_bundle.py
"""

import click

from celeryscope_kibana.bundle import SHIPPED, bundle


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when the file is not up to date.")
def main(check: bool) -> None:
    """Write kibana/celeryscope_kibana/celeryscope.ndjson."""
    current = bundle()
    if not check:
        SHIPPED.write_text(current, encoding="utf-8")
    elif not SHIPPED.exists() or SHIPPED.read_text(encoding="utf-8") != current:
        raise click.ClickException(f"{SHIPPED.name} is not up to date; run `make docs`.")


if __name__ == "__main__":
    main()
