"""`overnight quota`: what the account may use and what it uses; its limits, changed without a restart."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    import sqlalchemy as sa

    from jobs.accounts.quota import OwnLimits


@click.command()
@click.option(
    "--creates-per-minute", metavar="N|unlimited", help="From now on, this many purchases a minute."
)
@click.option(
    "--reads-per-minute", metavar="N|unlimited", help="From now on, this many other requests a minute."
)
@click.option("--in-flight", metavar="N", help="From now on, this many predictions under way at once.")
@click.option(
    "--account", metavar="NAME", help="Only this one of OVERNIGHT_ACCOUNTS; without it, all at the API."
)
@click.option("--reset", is_flag=True, help="Return to the limits in the settings.")
@options.as_json
@options.with_settings
def command(
    settings: Settings, *, account: str | None, reset: bool, as_json: bool, **given: str | None
) -> None:
    """Show what each account may use and how much it uses, or change its limits.

    A change applies to the account that buys at the API of the settings, or of --api; where there are several, to all
    or to --account. It holds at once, for all schedulers and workers that share the database, and overrides their
    settings until --reset.

    \b
    overnight quota
    overnight quota --creates-per-minute 300 --in-flight 400
    """
    from jobs.by_hand import buying
    from jobs.reports import usage
    from overnight import opened
    from overnight.display import allowance, data

    own = _read(given)
    if own and reset:
        raise click.UsageError("--reset forgets all limits; set new ones with a separate command.")
    with opened.database(settings) as db:
        if own or reset:
            with db.write() as tx:
                retuned = _retuned(tx, settings, account, own)
            for name in retuned:
                words.say(f"{name}: {buying.described(own) or 'as the settings say'}, from the next tick on")
        with db.read() as tx:
            every = usage.every(tx, settings)
    if not every:
        raise _nobody(settings, [])
    used = [one for one in every if account in {None, one.account.label}]
    if not used:
        raise _no_such(account, "", [one.account.label for one in every])
    if as_json:
        data.document([allowance.as_json(one, settings) for one in used])
    else:
        data.stream().write("\n\n".join("\n".join(allowance.lines(one, settings)) for one in used) + "\n")


def _read(given: dict[str, str | None]) -> "OwnLimits":
    """Return the limits that were typed, by the names of their settings."""
    from jobs.settings import written

    readers: dict[str, tuple[str, Callable[[str], int | None]]] = {
        "creates_per_minute": ("creates_per_minute", written.rate),
        "reads_per_minute": ("reads_per_minute", written.rate),
        "in_flight": ("max_in_flight", written.whole),
    }
    own = {}
    for option, (limit, read) in readers.items():
        if (text := given[option]) is not None:
            try:
                own[limit] = read(text)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=f"--{option.replace('_', '-')}") from None
    return own


def _retuned(tx: "sa.Connection", settings: Settings, label: str | None, own: "OwnLimits") -> list[str]:
    """Change the limits of the chosen accounts, and return their names."""
    from jobs.accounts import attendance
    from jobs.by_hand import buying

    present = [seat.account for seat in attendance.seats(tx)]
    here = [one for one in present if one.api == settings.api.identity]
    if not here:
        raise _nobody(settings, sorted({one.api for one in present}))
    meant = [one for one in here if label in {None, one.label}]
    if not meant:
        raise _no_such(label, f" at {settings.api.identity}", [one.label for one in here])
    for account in meant:
        buying.retune(tx, account, own)
    return [account.label or account.name for account in meant]


def _no_such(label: str | None, where: str, labels: list[str | None]) -> Exception:
    """Return the error that an account is not among those that there are."""
    from jobs import errors

    named = ", ".join(filter(None, labels))
    others = f", only: {named}" if named else "; none has a name"
    return errors.Mistake(f"there is no account {label}{where}{others}")


def _nobody(settings: Settings, known: list[str]) -> Exception:
    """Return the error that there is no account to show or to change; it says what to do."""
    from jobs import errors
    from jobs.settings import places
    from overnight import flags

    database = places.shown(settings.database_url)
    if known:
        return errors.Mistake(
            f"{database} has no account at {settings.api.identity}, only at {', '.join(known)}: "
            "name one of these with --api"
        )
    return errors.Mistake(
        f"{database} has no account yet, because no worker has ever run: "
        f"type `{flags.command(settings, 'run', 'MANIFEST')}` first, "
        "or set OVERNIGHT_CREATES_PER_MINUTE and the like"
    )
