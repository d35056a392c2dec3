"""Another input for jobs that run again: `--set` values, checked like a cell, and a new seed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs import errors, marker, texts
from jobs.manifest import columns, problems, rows, schema

_SEED = "seed"
_NEEDED = frozenset({"prompt"})  # without one the model paints its own default, at full price


@dataclass(frozen=True, slots=True)
class Change:
    """What is different at the next try. ``warnings`` are about values that the API may still refuse."""

    given: Mapping[str, Any] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    new_seed: bool = False
    warnings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.given or self.removed or self.new_seed)

    def owns_seed(self, before: bool) -> bool:
        """Whether the seed is of our own making after the change."""
        return self.new_seed or (before and _SEED not in self.given)

    def applied(
        self,
        before: Mapping[str, Any],
        sent: Sequence[Mapping[str, Any]],
        *,
        own_seed: bool,
        batch_uuid: str,
        key: str,
    ) -> dict[str, Any]:
        """Return the input after the change; ``sent`` are the inputs of the job's attempts so far."""
        kept = {name: value for name, value in before.items() if name not in self.removed}
        changed = {**kept, **self.given}
        if self.new_seed:
            earlier = {before.get(_SEED), *(one.get(_SEED) for one in sent)}
            changed[_SEED] = marker.fresh_seed(batch_uuid, key, len(sent), earlier)
        elif self.owns_seed(own_seed) and changed != before:
            changed[_SEED] = marker.seed_of_edited(changed, sent, batch_uuid, key)
        return changed


def read(written: Iterable[tuple[str, str]], *, new_seed: bool) -> Change:
    """Read ``--set`` values, or raise every mistake at once; an empty value means "not given", as in a manifest."""
    model = schema.load()
    known = columns.Columns(model, rows.Adaptation())
    given: dict[str, Any] = {}
    removed: set[str] = set()
    wrong: list[str] = []
    for name, text in written:
        try:
            column = _column(known, name, new_seed=new_seed)
            if text.strip():
                given[name] = column.read(text)
            else:
                removed.add(_removable(name))
        except problems.Rejected as rejected:
            detail = f": {rejected.detail}" if rejected.detail else ""
            wrong.append(f"--set {name}={texts.printable(text)}: {rejected.message}{detail}")
    refused, warnings = _judged(model, given)
    if wrong or refused:
        raise errors.Mistakes([*wrong, *refused])
    return Change(given, frozenset(removed - set(given)), new_seed, tuple(warnings))


def _column(known: columns.Columns, name: str, *, new_seed: bool) -> columns.Column:
    inputs = [column for column in known.of(name) if column.place is columns.Place.INPUT]
    if not inputs:
        near = known.nearest(name)
        if name in known.known:
            advice = "export --manifest, edit and run --update change it"
        else:
            advice = f"did you mean {near}?" if near else f"the model knows {', '.join(known.known)}"
        raise problems.Rejected("is no input that can be set", advice)
    if name == _SEED and new_seed:
        raise problems.Rejected("and --new-seed do not go together")
    return inputs[0]


def _removable(name: str) -> str:
    if name == _SEED:
        raise problems.Rejected("has no value", "--new-seed chooses one")
    if name in _NEEDED:
        raise problems.Rejected("has no value, and the model would paint a fantasy landscape")
    return name


def _judged(model: schema.Schema, given: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the model schema's objections to the values: mistakes and mere warnings."""
    refused: list[str] = []
    warnings: list[str] = []
    for complaint in model.complaints({"image": "", **given}):
        if complaint.name in given:
            value = problems.shown(str(given[complaint.name]))
            line = f"--set {complaint.name}: {value} {complaint.message}"
            (warnings if complaint.advisory else refused).append(line)
    return refused, warnings
