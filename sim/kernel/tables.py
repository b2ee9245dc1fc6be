"""How compiled code reaches the arrays: two types of numba's, a table and a row of it.

numba's own arrays carry shape and strides, test each index for being negative, and tell LLVM nothing of what
may be the same memory as what. Here a `Table` is an address: indices are from 0 and the caller keeps within
the array. Its elements are numbers, or rows: references to a record, whose fields are read and written. Every
access says which field of which table it touches (LLVM's type-based alias analysis), so that writing into a
request does not make the processor read the pod anew.
"""

from __future__ import annotations

import operator
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
)

_WORD: Final = ir.IntType(64)
_BYTES: Final = ir.IntType(8).as_pointer()


class Row(types.Type):  # type: ignore[misc]
    """A record in a table.

    Args:
        table: the table's name.
        kind: its fields, all of them numbers.
    """

    def __init__(self, table: str, kind: np.dtype[Any]) -> None:
        self.table = table
        self.kind = kind
        super().__init__(name=f"Row({table})")


class Table(types.Type):  # type: ignore[misc]
    """Elements of one kind, one after the other.

    Args:
        table: its name.
        kind: of an element.
    """

    def __init__(self, table: str, kind: np.dtype[Any]) -> None:
        self.table = table
        self.size = kind.itemsize
        self.element = Row(table, kind) if kind.names else numba.from_dtype(kind)
        super().__init__(name=f"Table({table})")


@register_model(Row)
@register_model(Table)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BYTES)


@infer_global(operator.getitem)
class _Get(AbstractTemplate):  # type: ignore[misc]
    def generic(self, arguments: Any, keywords: Any) -> Any:
        table, index = arguments
        if isinstance(table, Table) and isinstance(index, types.Integer):
            return signature(table.element, table, index)
        return None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):  # type: ignore[misc]
    def generic(self, arguments: Any, keywords: Any) -> Any:
        table, index, _ = arguments
        if isinstance(table, Table) and isinstance(index, types.Integer):
            return signature(types.none, table, index, table.element)
        return None


@infer_getattr
class _Field(AttributeTemplate):  # type: ignore[misc]
    key = Row

    def generic_resolve(self, row: Row, name: str) -> Any:
        return numba.from_dtype(row.kind.fields[name][0])  # type: ignore[index]


def _access(builder: Any, instruction: Any, what: str) -> Any:
    """Says that a load or store touches `what` and nothing else."""
    add = builder.module.add_metadata
    kind = add([what, add(["tables"]), ir.Constant(_WORD, 0)])
    instruction.set_metadata("tbaa", add([kind, kind, ir.Constant(_WORD, 0)]))
    return instruction


def _read(context: Any, builder: Any, number: Any, at: Any, what: str) -> Any:
    kind = context.get_data_type(number)
    load = builder.load(builder.bitcast(at, kind.as_pointer()), align=context.get_abi_sizeof(kind))
    return context.data_model_manager[number].from_data(builder, _access(builder, load, what))


def _write(context: Any, builder: Any, number: Any, at: Any, value: Any, what: str) -> None:
    kind = context.get_data_type(number)
    data = context.data_model_manager[number].as_data(builder, value)
    store = builder.store(data, builder.bitcast(at, kind.as_pointer()), align=context.get_abi_sizeof(kind))
    _access(builder, store, what)


def _element(context: Any, builder: Any, table: Table, start: Any, index: Any, kind: Any) -> Any:
    wide = context.cast(builder, index, kind, types.int64)
    return builder.gep(start, [builder.mul(wide, ir.Constant(_WORD, table.size))])


@lower_builtin(operator.getitem, Table, types.Integer)  # type: ignore[untyped-decorator]
def _get_item(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
    table = sig.args[0]
    at = _element(context, builder, table, arguments[0], arguments[1], sig.args[1])
    return at if isinstance(table.element, Row) else _read(context, builder, table.element, at, table.table)


@lower_builtin(operator.setitem, Table, types.Integer, types.Any)  # type: ignore[untyped-decorator]
def _set_item(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
    table = sig.args[0]
    at = _element(context, builder, table, arguments[0], arguments[1], sig.args[1])
    value = context.cast(builder, arguments[2], sig.args[2], table.element)
    _write(context, builder, table.element, at, value, table.table)
    return context.get_dummy_value()


def _field(context: Any, builder: Any, row: Row, start: Any, name: str) -> tuple[Any, Any, str]:
    kind, offset = row.kind.fields[name][:2]  # type: ignore[index]
    return numba.from_dtype(kind), builder.gep(start, [ir.Constant(_WORD, offset)]), f"{row.table}.{name}"


@lower_getattr_generic(Row)  # type: ignore[untyped-decorator]
def _get_field(context: Any, builder: Any, row: Row, start: Any, name: str) -> Any:
    return _read(context, builder, *_field(context, builder, row, start, name))


@lower_setattr_generic(Row)  # type: ignore[untyped-decorator]
def _set_field(context: Any, builder: Any, sig: Any, arguments: Any, name: str) -> None:
    number, at, what = _field(context, builder, sig.args[0], arguments[0], name)
    _write(context, builder, number, at, context.cast(builder, arguments[1], sig.args[1], number), what)


def row_at(table: str, kind: np.dtype[Any]) -> Any:
    """The compiled function address -> the row there."""

    @intrinsic  # type: ignore[untyped-decorator]
    def at(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _BYTES)

        return Row(table, kind)(types.int64), generate

    return at


def _constant(builder: Any, meta: Any, offset: int) -> Any:
    """An int64 of META that stays the same as long as compiled code runs, and so may be kept in a register."""
    at = builder.bitcast(builder.gep(meta, [ir.Constant(_WORD, offset)]), _WORD.as_pointer())
    load = builder.load(at, align=8)
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load


def table_of(meta: np.dtype[Any], name: str, element: npt.DTypeLike) -> Any:
    """The compiled function m -> the table whose address is the field `name_at` of the row m of META."""
    table = Table(name, np.dtype(element))
    offset = meta.fields[f"{name}_at"][1]  # type: ignore[index]

    @intrinsic  # type: ignore[untyped-decorator]
    def of(context: Any, m: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            return builder.inttoptr(_constant(builder, arguments[0], offset), _BYTES)

        return table(m), generate

    return of


def run_of(meta: np.dtype[Any], name: str, element: npt.DTypeLike, length: int | str) -> Any:
    """The compiled function m, i -> the i-th run of `length` elements of such a table; also a field of META."""
    table = Table(name, np.dtype(element))
    offset = meta.fields[f"{name}_at"][1]  # type: ignore[index]

    @intrinsic  # type: ignore[untyped-decorator]
    def of(context: Any, m: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            many = ir.Constant(_WORD, length)
            if isinstance(length, str):
                many = _constant(builder, arguments[0], meta.fields[length][1])  # type: ignore[index]
            start = builder.inttoptr(_constant(builder, arguments[0], offset), _BYTES)
            return _element(context, builder, table, start, builder.mul(arguments[1], many), types.int64)

        return table(m, types.int64), generate

    return of


def fetcher(table: Any, lines: int) -> Any:
    """The compiled function m, i -> nothing: the processor begins to read the first `lines` cache lines of row i.

    Args:
        table: from `table_of`.
        lines: of 64 bytes.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def fetch_row(context: Any, row: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            flag = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [_BYTES, flag, flag, flag])
            prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            for line in range(lines):
                at = builder.gep(arguments[0], [ir.Constant(_WORD, 64 * line)])
                builder.call(prefetch, [at, flag(1), flag(3), flag(1)])  # to be written, keep it, data
            return context.get_dummy_value()

        return types.none(row), generate

    @numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def fetch(m, i):  # type: ignore[no-untyped-def]
        if i >= 0:
            fetch_row(table(m)[i])

    return fetch
