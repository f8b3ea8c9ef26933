"""What may be planted: cosmic-ray's operators, and two that it lacks (a dropped statement, swapped arguments)."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import PythonNode

# They need arguments: which variable for which.
_NEED_ARGUMENTS = ("core/VariableReplacer", "core/VariableInserter")
# What a log line says, or a metric counts, is no behaviour of the core.
_UNSEEN = ("_log.", "telemetry.", "self._gauge.")
# What a dataclass has for memory's sake, and against a program that sets what it should not: mypy sees that none does.
_MANNERS = ("slots", "frozen")
_FLAGS = ("os.O_", "fcntl.LOCK_")  # that have no bit in common: any way to put them together is one
# To be a member of an enumeration and to equal it are the same.
_EQUAL: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
_CACHES = ("lru_cache", "cache")  # of pure functions: time alone


class DropStatement(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """An expression statement or an assignment to a part of something is left out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and _droppable(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        passing = parso.parse("pass\n").children[0]
        passing.children[0].prefix = node.get_first_leaf().prefix
        return passing

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("f()\n", "pass\n"), Example("a.b = 1\n", "pass\n"), Example("a = 1\n", "a = 1\n"))


class SwapArguments(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """The first two positional arguments of a call change places."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "arglist" and len(_positional(node)) >= 2 and not _any_order(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first, second = _positional(node)[:2]
        a, b = node.children[first].get_code(include_prefix=False), node.children[second].get_code(include_prefix=False)
        code = "".join(
            child.get_code() if i not in (first, second) else _prefix(child) + (b if i == first else a)
            for i, child in enumerate(node.children)
        )
        call = parso.parse(f"f({code})")
        return next(each for each in ast_nodes(call) if each.type == "arglist")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("f(a, b)", "f(b, a)"), Example("f(a, k=b)", "f(a, k=b)"), Example("max(a, b)", "max(a, b)"))


def _any_order(arguments: Any) -> bool:
    """Whether the call means the same in any order of its arguments."""
    before = arguments.parent.get_previous_leaf()
    return before is not None and before.value in ("min", "max")


def _droppable(statement: Any) -> bool:
    if statement.get_code(include_prefix=False).startswith(_UNSEEN):
        return False
    if statement.type == "expr_stmt":  # a local variable's would only be a NameError
        return statement.children[0].type in ("atom_expr", "power") or isinstance(statement.children[1], PythonNode)
    return statement.type in ("atom_expr", "power", "await", "del_stmt")


def _positional(arguments: Any) -> list[int]:
    plain = (i for i, child in enumerate(arguments.children) if child.type not in ("operator", "argument"))
    return list(plain)


def _prefix(node: Any) -> str:
    prefix: str = node.get_first_leaf().prefix
    return prefix


OWN: dict[str, type[Operator]] = {"mneme/DropStatement": DropStatement, "mneme/SwapArguments": SwapArguments}


def operator(name: str) -> Operator:
    return OWN[name]() if name in OWN else plugins.get_operator(name)()


def _names() -> list[str]:
    return [*OWN, *sorted(n for n in plugins.operator_names() if n not in _NEED_ARGUMENTS)]


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a file and the kind of what may be planted there: one of ``choices``, (operator, occurrence)."""

    line: int
    kind: str
    choices: tuple[tuple[str, int], ...]


def sites(source: str) -> list[Site]:
    """Every place where something may be planted, in order."""
    found: dict[tuple[Any, str], list[tuple[str, int]]] = {}
    tree = get_ast(source)
    nodes = list(ast_nodes(tree))
    for name in _names():
        kind, occurrence = name.split("_")[0], 0
        planted = operator(name)
        for node in nodes:
            for position in planted.mutation_positions(node):
                found.setdefault((position, kind), []).append((name, occurrence))
                occurrence += 1
    return [
        Site(position[0][0], kind, tuple(choices)) for (position, kind), choices in sorted(found.items(), key=_place)
    ]


def _place(item: tuple[tuple[Any, str], Any]) -> tuple[Any, str]:
    return item[0]


def plant(source: str, site: Site, random_: random.Random) -> str | None:
    """``source`` with one defect there; None where that changes nothing that runs, or no longer compiles."""
    name, occurrence = random_.choice(site.choices)
    mutated: str | None = mutate_code(source, operator(name), occurrence)
    if mutated is None:
        return None
    try:
        return mutated if _running_part(mutated) != _running_part(source) else None
    except SyntaxError:
        return None


def _running_part(source: str) -> str:
    """The program without what never runs (annotations, statements that only log or count) or only saves memory."""
    tree = _Running().visit(copy.deepcopy(ast.parse(source)))
    return ast.dump(tree)


class _Running(ast.NodeTransformer):
    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "dataclass":
                decorator.keywords = [k for k in decorator.keywords if k.arg not in _MANNERS]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(value=None)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.decorator_list = [d for d in node.decorator_list if not ast.unparse(d).startswith(_CACHES)]
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if all(isinstance(each, ast.Attribute) and each.attr.isupper() for each in node.comparators):
            node.ops = [_EQUAL.get(type(op), type(op))() for op in node.ops]
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.BitXor | ast.Add) and ast.unparse(node.right).startswith(_FLAGS):
            node.op = ast.BitOr()
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if ast.unparse(node).startswith(_UNSEEN) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        only_logs = not node.orelse and all(isinstance(each, ast.Pass) for each in node.body)
        return ast.Pass() if only_logs or ast.unparse(node.test) == "TYPE_CHECKING" else node
