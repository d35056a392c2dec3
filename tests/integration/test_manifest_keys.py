import random

from jobs.manifest import rows
from tests.manifests import WEB, mistakes, rows_of, write

HEADER = "image,prompt,seed,key,label.split\n"


def test_derived_keys_do_not_depend_on_the_order_of_rows_columns_or_formats(tmp_path):
    lines = [f"{WEB},prompt {n % 7},{n % 3},,a\n" for n in range(40)]
    shuffled = random.Random(1).sample(lines, len(lines))
    first = rows_of(write(tmp_path, HEADER + "".join(lines)))
    second = rows_of(write(tmp_path, HEADER + "".join(shuffled)))

    assert {row.key: row.digest for row in first} == {row.key: row.digest for row in second}
    assert len({row.key for row in first}) == 40

    yaml = f"jobs:\n- {{labels: {{split: a}}, seed: 0, prompt: prompt 0, image: {WEB}}}\n"
    (same,) = rows_of(write(tmp_path, yaml, "cats.yaml"))
    assert (same.key, same.digest) == (first[0].key, first[0].digest)


def test_identical_rows_are_numbered(tmp_path):
    found = rows_of(write(tmp_path, HEADER + f"{WEB},a,,,\n" * 3))

    base = found[0].key
    assert [row.key for row in found] == [base, f"{base}-2", f"{base}-3"]
    assert [row.stem for row in found] == [base, f"{base}-2", f"{base}-3"]


def test_a_number_that_somebody_gave_as_a_key_is_stepped_over(tmp_path):
    (alone,) = rows_of(write(tmp_path, HEADER + f"{WEB},a,,,\n"))

    found = rows_of(write(tmp_path, HEADER + f"{WEB},b,,{alone.key}-2,\n" + f"{WEB},a,,,\n" * 2))

    assert [row.key for row in found] == [f"{alone.key}-2", alone.key, f"{alone.key}-2-2"]


def test_a_given_key_twice_is_a_mistake_that_names_both_lines(tmp_path):
    found = mistakes(write(tmp_path, HEADER + f"{WEB},a,,x,\n{WEB},b,,y,\n{WEB},c,,x,\n{WEB},c,,x,\n"))

    (line,) = found
    assert line.startswith("cats.csv:4: key: x is the key of an earlier row too: line 2; give each row")
    assert line.endswith(" a key of its own (2 times: lines 4-5)")


def test_a_default_that_changes_edits_its_rows_and_keeps_their_keys(tmp_path):
    path = write(tmp_path, f"image,prompt\n{WEB},a\n")

    (plain,) = rows_of(path)
    (changed,) = rows_of(path, rows.Adaptation(defaults={"seed": 1}))

    assert plain.key == changed.key
    assert plain.digest != changed.digest


def test_the_digest_tells_every_edit_and_no_respelling(tmp_path):
    def row(cells: str) -> rows.Row:
        return rows_of(write(tmp_path, f"key,image,prompt,prompt_strength,priority,label.a\nk,{cells}\n"))[0]

    base = row(f"{WEB},a,0.5,,x")

    assert row(f" {WEB},a,0.50,0,x").digest == base.digest
    edits = [f"{WEB}?,a,0.5,,x", f"{WEB},A,0.5,,x", f"{WEB},a,0.6,,x", f"{WEB},a,0.5,1,x", f"{WEB},a,0.5,,y"]
    assert len({row(edit).digest for edit in edits} | {base.digest}) == 6


def test_stems_are_unique_ignoring_case_and_none_depends_on_which_came_first(tmp_path):
    keys = ["Tom", "tom", "TOM", "a b", "a-b", "a/b", "other", "🐈", "🐕"]
    lines = [f"{WEB},a,,{key},\n" for key in keys]

    stems = {row.key: row.stem for row in rows_of(write(tmp_path, HEADER + "".join(lines)))}
    again = {row.key: row.stem for row in rows_of(write(tmp_path, HEADER + "".join(reversed(lines))))}

    assert stems == again
    assert len({stem.casefold() for stem in stems.values()}) == len(keys)
    assert (stems["a/b"], stems["other"]) == ("a/b", "other")
    assert stems["Tom"].startswith("Tom-")


def test_many_keys_with_one_slug_still_get_stems_of_their_own(tmp_path):
    lines = "".join(f"{WEB},a,,{'!' * (n % 150 + 1)}{'?' * (n // 150 + 1)},\n" for n in range(6000))

    found = rows_of(write(tmp_path, HEADER + lines))

    assert len({row.stem.casefold() for row in found}) == 6000
