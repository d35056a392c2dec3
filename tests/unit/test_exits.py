"""Exit codes: what scripts rely on."""

from jobs import errors
from overnight import consent, exits

CODES = {
    errors.OvernightError: exits.Exit.BUG,
    errors.Mistake: exits.Exit.MISTAKE,
    errors.Unavailable: exits.Exit.UNAVAILABLE,
    errors.Halted: exits.Exit.HALTED,
    consent.Declined: exits.Exit.INTERRUPTED,
}


def family(error):
    """Yield an error's class and every one below it."""
    yield error
    for below in error.__subclasses__():
        yield from family(below)


def test_every_error_ends_in_the_code_of_its_family():
    """What never leaves a task has none of its own: if one does leave, it is a bug."""
    found = list(family(errors.OvernightError))
    assert {errors.Mistakes, errors.ApiError, errors.NotAnImage} < set(found)
    for error in found:
        nearest = next(above for above in error.__mro__ if above in CODES)
        assert error.exit_code == CODES[nearest], error
