"""The command line as a whole: it reads the arguments, calls the verb, prints its answer, and tells errors in one line."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterable
from typing import Any

from cyclopts import App, CycloptsError, UnknownCommandError
from sqlalchemy import exc

from compdb.cli.answer import DONE, INTERRUPTED, OPEN, Answer, tell
from compdb.cli.place import Place, where
from compdb.errors import CompdbError, SettingsError, nearest

__all__ = ["TRACEBACK", "CommandLine", "refuse"]

TRACEBACK = "COMPDB_TRACEBACK"
"""The environment variable that asks for tracebacks."""


class CommandLine(App):
    """An app whose errors are one line on stderr, and that returns its exit code.

    >>> app(["status", "--json"])
    0
    """

    def __call__(self, tokens: str | Iterable[str] | None = None, **options: Any) -> int:
        """Run one command; return its exit code."""
        verb = self.name[0]
        try:
            command, bound, _ = self.parse_args(tokens, exit_on_error=False, print_error=False, **options)
            verb = f"{verb} {_words(tokens, self)}".strip()
            as_json = _as_json(bound)
            with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
                answer = command(*bound.args, **bound.kwargs)
            if not isinstance(answer, Answer):
                return DONE  # the help, or the version
            tell(answer, as_json=as_json)
            sys.stdout.flush()
        except UnknownCommandError as error:
            return refuse(" ".join([verb, *(error.command_chain or ())]), SettingsError(_unknown(self, error)))
        except CycloptsError as error:
            chain = " ".join([verb, *(error.command_chain or ())])
            return refuse(chain, error, f" ({chain} --help)")
        except exc.SQLAlchemyError as error:
            return refuse(verb, error, "; compdb status shows whether the database fits the pipeline")
        except CompdbError as error:
            return refuse(verb, error)
        except BrokenPipeError:  # `compdb status | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except OSError as error:
            return refuse(verb, error)
        except KeyboardInterrupt:
            print(f"{verb}: interrupted; what was finished is kept", file=sys.stderr)
            return INTERRUPTED
        except Exception as error:  # a user's own: in a key source, in contents, in a migration
            return refuse(verb, error, f"; {TRACEBACK}=1 shows the traceback")
        return answer.code


def _unknown(whole: App, error: UnknownCommandError) -> str:
    """Say which commands there are, where one was asked for that is none: those below another command, too."""
    word = (error.unused_tokens or [""])[0]
    here = error.app or whole
    names = [name for name in here if not name.startswith("-")]
    below = [f"{name} {sub}" for name in names for sub in here[name] if not sub.startswith("-")]
    ending = [full for full in below if full.split()[1] == word]
    meant = ending[0] if ending else nearest(word, names)
    chain = " ".join([whole.name[0], *(error.command_chain or ())])
    return f"there is no command {word!r}" + (f"; did you mean {chain} {meant}?" if meant else ";") + f" there are: {', '.join(names)}"


def _as_json(bound: inspect.BoundArguments) -> bool:
    return any(value.json for value in bound.arguments.values() if isinstance(value, Place)) or bool(
        bound.arguments.get("json")
    )


def _words(tokens: str | Iterable[str] | None, app: App) -> str:
    """Return the verb that was asked for: `migrate up`."""
    chain, _, _ = app.parse_commands(tokens)
    return " ".join(chain)


def refuse(verb: str, error: BaseException, hint: str = "") -> int:
    """Tell an error in one line, and return the exit code; raise it where the environment asks for tracebacks."""
    if os.environ.get(TRACEBACK):
        raise error
    told = str(error) or type(error).__name__
    if isinstance(error, exc.SQLAlchemyError):
        told = f"{type(error).__name__}: {getattr(error, 'orig', None) or told}"
    elif not isinstance(error, (CompdbError, CycloptsError, OSError)):
        told = f"{type(error).__name__}: {told}{where(error)}"
    parts = [part.strip() for part in told.splitlines() if part.strip()]
    line = "".join(p + (" " if p.endswith((":", ";", ",", ".", "?")) else "; ") for p in parts[:-1]) + parts[-1]
    print(f"{verb}: {line}{hint}", file=sys.stderr)
    return OPEN
