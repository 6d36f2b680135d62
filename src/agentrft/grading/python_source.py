"""Can this source be a python grader? Read, never run: it is run in the sandbox only."""

import ast
import warnings

MAX_SOURCE_BYTES = 256_000


def find_source_problem(source: str) -> str | None:
    """What keeps `source` from being a grader, or None: it compiles and defines `grade(sample, item)`."""
    try:
        size_bytes = len(source.encode("utf-8"))
        if size_bytes >= MAX_SOURCE_BYTES:
            return f"has {size_bytes} bytes, but must have less than {MAX_SOURCE_BYTES}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's code, which nobody here can change
            tree = ast.parse(source)
            compile(tree, "<grader>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"does not compile: {error.msg} (line {error.lineno})"
    except (ValueError, MemoryError, RecursionError) as error:
        return f"does not compile: {error or type(error).__name__}"
    return _find_signature_problem(tree)


def _find_signature_problem(tree: ast.Module) -> str | None:
    found = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == "grade"
    ]
    if not found:
        return "must define a function grade(sample, item)"
    grade = found[-1]
    if not isinstance(grade, ast.FunctionDef):
        return "must define grade(sample, item) with a plain 'def'"
    return None if _takes_two(grade.args) else "must define grade(sample, item) with exactly these two arguments"


def _takes_two(arguments: ast.arguments) -> bool:
    """Whether two positional arguments are accepted and no more are required."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keywords_optional = all(default is not None for default in arguments.kw_defaults)
    return required <= 2 and (positional >= 2 or arguments.vararg is not None) and keywords_optional
