"""The user's code for a function: what is wrong with its folder and its entry, before anything is created."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from . import archives
from .arguments import Problem

LARGEST_FOLDER = archives.LARGEST_UNZIPPED
MOST_FILES = 10_000
ENTRY_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
HAS_ITS_OWN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
"""What a ``yield`` belongs to that is in it."""
A_FOLDER = "a folder that holds your code"


def problems(code: object, entry: object) -> list[Problem]:
    """Return what is wrong with a folder of code and the function in it that is to be called.

    Args:
        code: the folder's path.
        entry: ``module:function``; what is not of that form is passed over.
    """
    if code is None:
        return []
    folder = Path(code) if isinstance(code, str) and code else None
    if folder is None or not _is_folder(folder):
        return [Problem("code", code, A_FOLDER, "check the path: it is taken from the program's folder")]
    if (folder / "Pulumi.yaml").exists():
        return [
            Problem("code", code, A_FOLDER, "this is a program's own folder: give your code one beside it")
        ]
    if (folder / "sluice").exists():
        return [Problem("code", code, f"{A_FOLDER}, without a sluice of its own: ours has that name")]
    found = [*_folder_problems(folder)]
    if not found and isinstance(entry, str) and ENTRY_PATTERN.fullmatch(entry):
        found += _entry_problems(folder, entry)
    return found


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # a name that is too long for the file system
        return False


def _folder_problems(folder: Path) -> Iterator[Problem]:
    size = 0
    files = 0
    for path, file in archives.code_files(folder):
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            yield Problem("code", path, "files of the folder: this is a link that leads out of it")
        size, files = size + file.stat().st_size, files + 1
        if size > LARGEST_FOLDER or files > MOST_FILES:
            yield Problem(
                "code",
                str(folder),
                f"at most {LARGEST_FOLDER // archives.MIB} MB in at most {MOST_FILES} files",
            )
            return
    if not files:
        yield Problem("code", str(folder), f"{A_FOLDER}; it is empty")


def _entry_problems(folder: Path, entry: str) -> Iterator[Problem]:
    module, _, function = entry.partition(":")
    path = module.replace(".", "/")
    shipped = dict(archives.code_files(folder))
    file = shipped.get(f"{path}.py") or shipped.get(f"{path}/__init__.py")
    if file is None:
        yield Problem("entry", entry, f"a module in the code folder; there is no {folder / path}.py")
        return
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Problem("entry", entry, f"a module that Python can read: {error}")
        return
    if not {function, "*"} & _names(tree):
        yield Problem("entry", entry, f"a function that {file} defines; it has no {function}")
    elif _is_put_off(tree, function):
        allowed = "a plain function: one that is async, or yields, does nothing when it is called"
        yield Problem("entry", entry, allowed, "call asyncio.run inside, or return instead")


def _is_put_off(tree: ast.Module, function: str) -> bool:
    """Whether a module's function of this name is async or a generator, the last one if there are several."""
    defined = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    ]
    if not defined or defined[-1].decorator_list:
        return False  # a decorator may make anything of it
    return isinstance(defined[-1], ast.AsyncFunctionDef) or _yields(defined[-1])


def _yields(node: ast.AST) -> bool:
    inner = [each for each in ast.iter_child_nodes(node) if not isinstance(each, HAS_ITS_OWN)]
    return any(isinstance(each, ast.Yield | ast.YieldFrom) or _yields(each) for each in inner)


def _names(tree: ast.Module) -> set[str]:
    """Return every name that a module binds, wherever: more than its functions, but none is missed.

    An import of all names is ``*``.
    """
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bound = {node.name for node in ast.walk(tree) if isinstance(node, named)}
    bound |= {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return bound | {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
