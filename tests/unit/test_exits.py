"""Exit codes: what scripts rely on."""

from jobs import errors
from overnight import exits


def test_every_error_ends_in_a_code_that_is_documented():
    families = [errors.OvernightError, errors.Mistake, errors.Unavailable, errors.Halted]
    assert [exits.Exit(family.exit_code) for family in families] == [
        exits.Exit.BUG,
        exits.Exit.MISTAKE,
        exits.Exit.UNAVAILABLE,
        exits.Exit.HALTED,
    ]
