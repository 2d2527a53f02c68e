"""The one error that is the user's to mend."""


class UserError(ValueError):
    """A mistake in what the user gave: a flag, a file, an architecture.

    Its message is one line that names the thing, what was expected and what came.
    The command line prints that line and exits with code 2; from Python it is an ordinary ``ValueError``.
    """
