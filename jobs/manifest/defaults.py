"""The values for empty cells: typed and judged once, not again for every row."""

from collections.abc import Mapping

from jobs.manifest import columns, origins, problems, schema


def read(
    known: columns.Columns,
    model: schema.Schema,
    defaults: Mapping[str, str | int | float | bool],
    origin: origins.Origins,
) -> tuple[columns.Values, list[problems.Problem]]:
    """Return the defaults by place and name, and what is wrong with them."""
    values = columns.Values({}, {}, {})
    wrong = []
    texts = {name: _as_written(value) for name, value in defaults.items()}
    for name, written in texts.items():
        if name not in known.known or name == "key":
            instead = "each row has a key of its own" if name == "key" else known.instead(name)
            wrong.append(origin.default(name, written, "cannot have a default", instead))
            continue
        try:
            column = _column(known, name, written)
            values[column.place][name] = column.cell(written)
        except problems.Rejected as rejected:
            wrong.append(origin.default(name, written, rejected.message, rejected.detail, written))
    wrong.extend(
        origin.default(complaint.name, texts[complaint.name], complaint.message, value=texts[complaint.name])
        for complaint in model.complaints({"image": "", **columns.values_of(values.inputs)})
        if complaint.name in texts and not complaint.advisory
    )
    return values, wrong


def _column(known: columns.Columns, name: str, written: str) -> columns.Column:
    if any("\ud800" <= character <= "\udfff" for character in written):
        raise problems.Rejected("is not UTF-8")  # a command line's undecodable bytes become surrogates
    return known.named(name, name)


def _as_written(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
