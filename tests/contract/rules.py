"""What Citus wants of a statement, read from Postgres' own parse of it. A fault is told in words.

A distributed table has all rows of a project on one machine. A statement goes there as it is if every such table in it
is asked for one project: by a constant, or by being joined on ``project_id`` to one that is.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType

PROJECT = "project_id"
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?s|%%|%b|%t")


def numbered(statement: str, *, has_parameters: bool) -> str:
    """Return a statement of psycopg's with placeholders as Postgres has them."""
    if not has_parameters:
        return statement
    return PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else "$1", statement)


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

    def __init__(self, distributed: Set[str], local: Set[str], arguments: Set[str] = frozenset()) -> None:
        self.distributed = distributed
        self.local = local
        self.arguments = arguments
        self.faults: list[str] = []
        self.ctes: set[str] = set()

    def read(self, statement: str) -> list[str]:
        for raw in parse_sql(statement):
            self.visit(raw.stmt)
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
            case ast.DeleteStmt():
                self.check_scope((node.relation, *(node.usingClause or ())), node.whereClause)
            case ast.InsertStmt():
                self.check_insert(node)
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
                elif source.relname in self.distributed:
                    scope.tables[name] = source.relname
                elif source.relname in self.local:
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
            if table and self.is_constant(other):
                scope.constant.add(table)

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

    def is_constant(self, node: Any) -> bool:
        match node:
            case ast.A_Const() | ast.ParamRef():
                return True
            case ast.TypeCast():
                return self.is_constant(node.arg)
            case ast.ColumnRef():
                return len(node.fields) == 1 and node.fields[0].sval in self.arguments
        return False

    def check_insert(self, node: ast.InsertStmt) -> None:
        if node.relation.relname not in self.distributed:
            return
        table = node.relation.relname
        names = [column.name for column in node.cols or ()]
        if PROJECT not in names:
            self.fault(f"{table} gets rows that don't name their project")
            return
        place = names.index(PROJECT)
        query = node.selectStmt
        rows = query.valuesLists or [[target.val for target in query.targetList]]
        if not all(self.is_constant(row[place]) for row in rows):
            self.fault(f"{table} gets rows of more than one project")
        clause = node.onConflictClause
        if clause and clause.infer and PROJECT not in [each.name for each in clause.infer.indexElems or ()]:
            self.fault(f"{table} is deduplicated by something that hasn't the project in it")
        self.check_set(node.relation, clause.targetList if clause else ())

    def check_set(self, relation: Any, targets: Any) -> None:
        if relation.relname in self.distributed and PROJECT in [target.name for target in targets or ()]:
            self.fault(f"{relation.relname} has rows moved to another project")


def children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple | list):
        yield from node
    elif isinstance(node, ast.Node):
        for name in node:
            yield getattr(node, name)


def faults(statement: str, distributed: Set[str], local: Set[str], arguments: Set[str] = frozenset()) -> list[str]:
    return Reader(distributed, local, arguments).read(statement)


def statements_of(definition: str) -> Iterator[str]:
    """Yield the statements of a function in PL/pgSQL; an assignment or a RETURN is none."""
    yield from queries(parse_plpgsql(definition))


def queries(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from queries(each)
    elif isinstance(node, dict):
        if "PLpgSQL_stmt_execsql" in node:
            yield node["PLpgSQL_stmt_execsql"]["sqlstmt"]["PLpgSQL_expr"]["query"]
        for each in node.values():
            yield from queries(each)
