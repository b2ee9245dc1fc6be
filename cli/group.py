"""What every group of commands shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Change one value, such as providers.budget.count=3; may be given often.",
)  # fmt: skip
FILE = click.argument("file", type=click.Path(path_type=Path))
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress and no summary; only errors.")

CONTEXT: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """Names the nearest command when one is mistyped."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group.resolve_command`."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from protocol.manifest import hint

            ctx.fail(f"there is no command '{args[0]}'; {hint(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
