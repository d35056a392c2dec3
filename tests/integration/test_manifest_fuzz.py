"""Whatever bytes a manifest has: it loads, or its mistakes are told; nothing else is ever raised."""

import io

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs import errors
from jobs.manifest import keys, rows, source, validate
from tests.manifests import WEB

ADAPTATION = rows.Adaptation(labels=("*",), defaults={"prompt": "a"})
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

COLUMNS = st.sampled_from(
    ["image", "prompt", "seed", "key", "priority", "num_outputs", "label.a", "steps", ""]
)
CELLS = st.one_of(st.just(WEB), st.just("1"), st.just("0,5"), st.text(max_size=12))


def read(content: bytes, keep_going: bool) -> tuple[list[rows.Row], str]:
    """Return the rows, or what was said instead."""
    try:
        with (
            source.open_source("-", io.BytesIO(content)) as manifest,
            validate.validate(manifest, ADAPTATION, keep_going=keep_going) as came,
        ):
            return [row for chunk in came.rows() for row in chunk], ""
    except errors.Mistake as mistake:
        return [], str(mistake)


def check(content: bytes) -> None:
    """Read the bytes in both ways, and look at what every loaded row promises."""
    for keep_going in (False, True):
        found, said = read(content, keep_going)
        assert said.replace("\n", "").isprintable()
        assert len({row.key for row in found}) == len(found)
        assert len({row.stem.casefold() for row in found}) == len(found)
        for row in found:
            assert keys.check(row.key) == row.key
            assert keys.slug(row.stem) == row.stem


@SETTINGS
@given(st.binary(max_size=400))
@example(b"image\n" + WEB.encode() + b"\n\xff")
@example(b"image\n\x1d\n")
@example(b"jobs: [{image: '\xef\xbf\xbe'}]")
def test_whatever_bytes_come_rows_are_sound_or_mistakes_are_told(content):
    check(content)


@SETTINGS
@given(
    st.binary(max_size=200),
    st.sampled_from([b"jobs:\n- image: ", b"---\n", b"jobs: [", b"{", b"batch: x\njobs:\n"]),
)
def test_whatever_follows_the_beginning_of_yaml_rows_are_sound_or_mistakes_are_told(content, start):
    check(start + content)


@SETTINGS
@given(st.lists(COLUMNS, min_size=1, max_size=5), st.lists(st.lists(CELLS, max_size=6), max_size=6))
def test_whatever_the_cells_of_a_table_rows_are_sound_or_mistakes_are_told(header, lines):
    quoted = [
        ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in line) for line in [header, *lines]
    ]
    check("\n".join(quoted).encode("utf-8", "surrogatepass"))


YAML_VALUES = st.recursive(
    st.one_of(CELLS, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(CELLS, inner, max_size=3)),
    max_leaves=6,
)


@SETTINGS
@given(st.lists(st.dictionaries(COLUMNS, YAML_VALUES, max_size=5), max_size=5))
def test_whatever_the_jobs_of_a_yaml_file_rows_are_sound_or_mistakes_are_told(jobs):
    check(f"jobs: {jobs}".encode("utf-8", "surrogatepass"))
