"""The values for empty cells: typed and judged once, not again for every row."""

from collections.abc import Mapping

from jobs.manifest import columns, problems, schema


def read(
    known: columns.Columns, model: schema.Schema, defaults: Mapping[str, str | int | float | bool]
) -> tuple[columns.Values, list[problems.Problem]]:
    """Return the defaults by place and name, and what is wrong with them."""
    values = columns.Values.none()
    wrong = []
    texts = {name: _as_written(value) for name, value in defaults.items()}
    for name, written in texts.items():
        try:
            column = _column(known, name, written)
            values[column.place][name] = column.cell(written)
        except problems.Rejected as rejected:
            wrong.append(_problem(name, rejected.message, written, rejected.detail))
    wrong.extend(
        _problem(complaint.name, complaint.message, texts[complaint.name])
        for complaint in model.complaints({"image": "", **columns.values_of(values.inputs)})
        if complaint.name in texts and not complaint.advisory
    )
    return values, wrong


def _column(known: columns.Columns, name: str, written: str) -> columns.Column:
    if name not in known.known or name == "key":
        near = known.nearest(name)
        raise problems.Rejected("cannot have a default", f"did you mean {near}?" if near else "")
    if any("\ud800" <= character <= "\udfff" for character in written):
        raise problems.Rejected("is not UTF-8")  # what a command line's other bytes become
    return known.named(name, name)


def _as_written(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(name: str, message: str, written: str, detail: str = "") -> problems.Problem:
    return problems.Problem("defaults", None, name, message, written, detail)
