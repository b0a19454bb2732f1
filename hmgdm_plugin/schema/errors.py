"""Errors that name their fix; the command line prints them as one sentence and exits with their code."""

from __future__ import annotations


class HmgdmError(Exception):
    """Something asked for failed; what had finished is kept.

    Parameters
    ----------
    problem : str
        What is wrong, naming the file or option: ``case7.tif: no microns per pixel``.
    fix : str
        What the user can do about it: ``pass --mpp or add an mpp column``.
    """

    exit_code = 1

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


class InputError(HmgdmError):
    """The call or its input is wrong; nothing was written."""

    exit_code = 2


class Cancelled(HmgdmError):
    """The user, or SIGTERM, ended the run; what had finished is kept."""

    exit_code = 130

    def __init__(self, problem: str = "cancelled", fix: str = "run the same command to start again") -> None:
        super().__init__(problem, fix)


class RunError(InputError):
    """No slide of the run can be analysed any more: the disk is full, the model has been changed."""
