"""What Citus wants of a statement, read from Postgres' own parse of it. A fault is told in words.

A distributed table has all rows of a project on one machine. A statement goes there as it is if every such table in it
is asked for one project: by a constant, or by being joined on ``project_id`` to one that is.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.stream import RawStream

PROJECT = "project_id"
PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)s|%[sbt%]")


def numbered(statement: str, parameters: Mapping[str, object] | Sequence[object] | None) -> str:
    """Return a statement of psycopg's with placeholders as Postgres has them; those of one value have one number."""
    if parameters is None:
        return statement
    places = itertools.count()
    values: list[object] = []

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        value = parameters[found["name"] or next(places)]  # type: ignore[index]
        if value not in values:
            values.append(value)
        return f"${values.index(value) + 1}"

    return PLACEHOLDER.sub(number, statement)


@dataclass(frozen=True, slots=True)
class Known:
    """The tables that lie on many machines, those that stay on one, and functions by how much their results vary."""

    distributed: Set[str]
    local: Set[str]
    stable: Set[str] = frozenset()
    volatile: Set[str] = frozenset()


@dataclass(slots=True)
class Scope:
    """The tables of one FROM by the names they have there, and which of them are asked for one project."""

    tables: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)  # of a subselect or a CTE, which is looked at by itself
    local: set[str] = field(default_factory=set)
    constant: set[str] = field(default_factory=set)
    equal: list[tuple[str, str]] = field(default_factory=list)

    def spread(self) -> Set[str]:
        """Return the tables that are asked for more than one project."""
        pinned = set(self.constant)
        while more := {each for pair in self.equal if pinned & {*pair} for each in pair} - pinned:
            pinned |= more
        return self.tables.keys() - pinned


class Reader:
    """Reads statements; ``arguments`` are names that stand for constants, as those of a function do."""

    def __init__(self, known: Known, arguments: Set[str] = frozenset()) -> None:
        self.known = known
        self.arguments = arguments
        self.faults: list[str] = []
        self.ctes: set[str] = set()
        self.projects: set[str] = set()

    def read(self, statement: str) -> list[str]:
        for raw in parse_sql(statement):
            self.projects.clear()
            self.visit(raw.stmt)
            if len(self.projects) > 1:
                self.fault(f"projects are {sorted(self.projects)}, which may be two")
        return self.faults

    def fault(self, words: str) -> None:
        self.faults.append(words)

    def visit(self, node: Any) -> None:
        """Look at a statement, and at all that are within it."""
        if isinstance(node, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt | ast.InsertStmt):
            self.ctes |= {cte.ctename for cte in (node.withClause.ctes if node.withClause else ())}
        match node:
            case ast.SelectStmt():
                self.check_scope(node.fromClause or (), node.whereClause)
            case ast.UpdateStmt():
                self.check_scope((node.relation, *(node.fromClause or ())), node.whereClause)
                self.check_set(node.relation, node.targetList)
                self.check_functions(node, (node.targetList, node.whereClause), self.known.volatile)
            case ast.DeleteStmt():
                self.check_scope((node.relation, *(node.usingClause or ())), node.whereClause)
                self.check_functions(node, (node.whereClause,), self.known.volatile)
            case ast.InsertStmt():
                self.check_insert(node)
            case ast.MergeStmt() | ast.TruncateStmt() | ast.CopyStmt():
                self.check_whole(node)
        if isinstance(node, ast.UpdateStmt | ast.DeleteStmt | ast.InsertStmt):
            self.check_returning(node)
        for child in children(node):
            self.visit(child)

    def check_scope(self, sources: Any, where: Any) -> None:
        scope = Scope()
        conditions = [where]
        for source in sources:
            self.enter(source, scope, conditions)
        for condition in conditions:
            self.note(condition, scope)
        for name in sorted(scope.spread()):
            self.fault(f"{scope.tables[name]} is asked for more than one project")
        if scope.tables and scope.local:
            self.fault(
                f"{sorted(scope.tables.values())} are joined to {sorted(scope.local)}, which stay on one machine"
            )

    def enter(self, source: Any, scope: Scope, conditions: list[Any]) -> None:
        match source:
            case ast.JoinExpr():
                self.enter(source.larg, scope, conditions)
                self.enter(source.rarg, scope, conditions)
                conditions.append(source.quals)
            case ast.RangeVar():
                name = source.alias.aliasname if source.alias else source.relname
                if source.relname in self.ctes:
                    scope.others.add(name)
                elif source.relname in self.known.distributed:
                    scope.tables[name] = source.relname
                elif source.relname in self.known.local:
                    scope.local.add(source.relname)
                elif not source.relname.startswith("pg_"):
                    self.fault(f"{source.relname} is no table that is known")
            case ast.RangeSubselect() | ast.RangeFunction():
                scope.others.add(source.alias.aliasname if source.alias else "")

    def note(self, condition: Any, scope: Scope) -> None:
        """Note what holds of ``project_id`` wherever ``condition`` holds."""
        match condition:
            case ast.BoolExpr(boolop=BoolExprType.AND_EXPR):
                for each in condition.args:
                    self.note(each, scope)
            case ast.A_Expr(kind=A_Expr_Kind.AEXPR_OP) if condition.name[0].sval == "=":
                left, right = condition.lexpr, condition.rexpr
                if isinstance(left, ast.RowExpr) and isinstance(right, ast.RowExpr):
                    for pair in zip(left.args, right.args, strict=True):
                        self.note_equal(*pair, scope)
                else:
                    self.note_equal(left, right, scope)

    def note_equal(self, left: Any, right: Any, scope: Scope) -> None:
        tables = [self.table_of(each, scope) for each in (left, right)]
        if tables[0] and tables[1]:
            scope.equal.append((tables[0], tables[1]))
        for table, other in ((tables[0], right), (tables[1], left)):
            if table and (constant := self.constant_of(other)):
                scope.constant.add(table)
                self.projects.add(constant)

    def table_of(self, node: Any, scope: Scope) -> str | None:
        """Return of which table of the scope ``node`` is the project."""
        if not isinstance(node, ast.ColumnRef) or not isinstance(node.fields[-1], ast.String):
            return None
        *qualifier, column = (each.sval for each in node.fields)
        if column != PROJECT:
            return None
        if qualifier:
            return qualifier[-1]
        return next(iter(scope.tables)) if len(scope.tables) == 1 else None

    def constant_of(self, node: Any) -> str | None:
        """Return a name of the constant that ``node`` is; None if it is none."""
        match node:
            case ast.A_Const():
                return "NULL" if node.isnull else RawStream()(node)
            case ast.ParamRef():
                return f"${node.number}"
            case ast.TypeCast():
                return self.constant_of(node.arg)
            case ast.ColumnRef() if len(node.fields) == 1 and isinstance(node.fields[0], ast.String):
                name = node.fields[0].sval
                return name if name in self.arguments else None
        return None

    def check_whole(self, node: Any) -> None:
        """Find fault with a statement that is about all of a table, whosever it is."""
        for table in sorted(tables_in(node) & self.known.distributed):
            self.fault(f"{table} is asked for more than one project")

    def check_functions(self, node: Any, parts: Any, unwanted: Set[str]) -> None:
        if node.relation.relname in self.known.distributed:
            for name in sorted(functions_in(parts) & unwanted):
                self.fault(f"{node.relation.relname} is changed by {name}(), which each machine would answer otherwise")

    def check_returning(self, node: Any) -> None:
        """Find fault with a RETURNING whose functions aren't immutable: a cast may be one that isn't."""
        if node.relation.relname not in self.known.distributed:
            return
        returned = node.returningClause.exprs if node.returningClause else ()
        names = functions_in(returned) & (self.known.stable | self.known.volatile)
        for name in [*sorted(names), *(["a cast"] if any_of(returned, ast.TypeCast) else [])]:
            self.fault(f"{node.relation.relname} returns {name}, which may not be immutable")

    def check_insert(self, node: ast.InsertStmt) -> None:
        if node.relation.relname not in self.known.distributed:
            return
        table = node.relation.relname
        names = [column.name for column in node.cols or ()]
        if PROJECT not in names:
            self.fault(f"{table} gets rows that don't name their project")
            return
        place = names.index(PROJECT)
        query = node.selectStmt
        rows = query.valuesLists or [[target.val for target in query.targetList]]
        constants = [self.constant_of(row[place]) for row in rows]
        self.projects |= {each for each in constants if each}
        if not all(constants):
            self.fault(f"{table} gets rows of more than one project")
        clause = node.onConflictClause
        if clause and clause.infer and PROJECT not in [each.name for each in clause.infer.indexElems or ()]:
            self.fault(f"{table} is deduplicated by something that hasn't the project in it")
        self.check_set(node.relation, clause.targetList if clause else ())
        unwanted = self.known.stable | self.known.volatile
        self.check_functions(node, (clause.targetList, clause.whereClause) if clause else (), unwanted)

    def check_set(self, relation: Any, targets: Any) -> None:
        if relation.relname in self.known.distributed and PROJECT in [target.name for target in targets or ()]:
            self.fault(f"{relation.relname} has rows moved to another project")


def children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple | list):
        yield from node
    elif isinstance(node, ast.Node):
        for name in node:
            yield getattr(node, name)


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in children(node):
        yield from nodes(child)


def any_of(node: Any, kind: type[ast.Node]) -> bool:
    return any(isinstance(each, kind) for each in nodes(node))


def tables_in(node: Any) -> set[str]:
    return {each.relname for each in nodes(node) if isinstance(each, ast.RangeVar)}


def functions_in(node: Any) -> set[str]:
    return {each.funcname[-1].sval for each in nodes(node) if isinstance(each, ast.FuncCall)}


def faults(statement: str, known: Known, arguments: Set[str] = frozenset()) -> list[str]:
    return Reader(known, arguments).read(statement)


def statements_of(definition: str) -> Iterator[str]:
    """Yield all that a function in PL/pgSQL has answered by SQL: what it runs, asks in an IF, assigns, or returns."""
    yield from expressions(parse_plpgsql(definition))


def expressions(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from expressions(each)
    elif isinstance(node, dict):
        for name, each in node.items():
            if name == "PLpgSQL_expr":
                yield statement_of(each)
            yield from expressions(each)


def statement_of(expression: dict[str, Any]) -> str:
    query = str(expression["query"])
    match expression["parseMode"]:
        case Parsed.EXPRESSION:
            return f"SELECT {query}"
        case Parsed.ASSIGNMENT:
            return f"SELECT {query.partition(':=')[2]}"
    return query


class Parsed(IntEnum):
    """How an expression of PL/pgSQL is to be read, as Postgres' parser numbers it."""

    STATEMENT = 0
    EXPRESSION = 2
    ASSIGNMENT = 3
