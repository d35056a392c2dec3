import json
import subprocess
import sys
import textwrap

import pytest

from jobs.manifest import rows
from jobs.manifest.pictures import Travel
from tests.manifests import WEB, batch_of, inputs_of, labels_of, mistakes, picture, reading, rows_of, write


def yaml(folder, text, name="cats.yaml"):
    return write(folder, textwrap.dedent(text).replace("WEB", WEB), name)


def test_a_yaml_manifest_says_all_that_a_table_and_the_command_line_can(tmp_path):
    picture(tmp_path / "photos" / "tom.png")
    path = yaml(
        tmp_path,
        f"""\
        batch: cats
        version: {"0" * 64}
        defaults: {{prompt_strength: 0.5, num_outputs: 2}}
        columns: {{image: file}}
        labels: [who]
        images: photos
        jobs:
          - file: tom.png
            prompt: a cat
            who: Anna
            labels: {{split: train}}
            priority: 3
          - {{key: two, file: WEB, prompt: "a: dog", num_outputs: 1}}
        """,
    )

    with reading(path) as read:
        ((tom, two),) = read.rows()
        assert (batch_of(path), read.outputs, read.root) == ("cats", 3, tmp_path / "photos")
        assert read.images == {Travel.URL: 1, Travel.INLINE: 1}
        assert read.adaptation == rows.Adaptation(
            {"image": "file"},
            ("who",),
            {"prompt_strength": "0.5", "num_outputs": "2", "version": "0" * 64},
            tmp_path / "photos",
        )

    assert (tom.row, two.row) == (8, 13)
    assert inputs_of(tom) == {"prompt": "a cat", "prompt_strength": 0.5, "num_outputs": 2}
    assert (labels_of(tom), tom.priority, tom.version) == ({"who": "Anna", "split": "train"}, 3, "0" * 64)
    assert (two.key, inputs_of(two)["prompt"], inputs_of(two)["num_outputs"]) == ("two", "a: dog", 1)


@pytest.mark.parametrize(
    "word", ["no", "on", "Yes", "1e3", "0x10", "2026-01-01", "12:30:00", ".inf", "=a", '"null"']
)
def test_the_schema_decides_the_type_and_never_yaml(tmp_path, word):
    (row,) = rows_of(yaml(tmp_path, f"jobs: [{{image: WEB, prompt: {word}}}]"))

    assert inputs_of(row) == {"prompt": word.strip('"')}


@pytest.mark.parametrize("nothing", ["", "~", "null", "''"])
def test_a_value_that_is_not_there_is_not_given(tmp_path, nothing):
    (row,) = rows_of(yaml(tmp_path, f"jobs:\n- image: WEB\n  prompt: a\n  seed: {nothing}\n"))

    assert inputs_of(row) == {"prompt": "a"}


def test_settings_may_stand_below_the_jobs(tmp_path):
    (row,) = rows_of(yaml(tmp_path, "jobs:\n- image: WEB\ndefaults:\n  prompt: a\n"))

    assert inputs_of(row) == {"prompt": "a"}


def test_json_is_read_as_the_yaml_it_is(tmp_path):
    (row,) = rows_of(yaml(tmp_path, '{"jobs": [{"image": "WEB", "prompt": "a \\u00e4"}]}', "cats.json"))

    assert inputs_of(row) == {"prompt": "a ä"}


def test_the_command_line_counts_more_than_the_file(tmp_path):
    path = yaml(tmp_path, "defaults: {seed: 1, num_outputs: 2}\nlabels: who\njobs: [{image: WEB, prompt: a}]")

    (row,) = rows_of(path, rows.Adaptation(defaults={"seed": 5}))

    assert inputs_of(row) == {"prompt": "a", "seed": 5, "num_outputs": 2}


def test_a_slip_among_carried_names_is_a_warning(tmp_path):
    path = yaml(tmp_path, 'labels: "*"\njobs: [{image: WEB, prompt: a, prompt_strenght: 0.5, mood: x}]')

    with reading(path) as read:
        assert not read.problems
        (line,) = read.warnings.lines()

    assert line.endswith("prompt_strenght: is carried as a label: did you mean prompt_strength?")


def test_jobs_may_be_a_table_whose_pictures_lie_beside_the_yaml_file(tmp_path):
    picture(tmp_path / "tom.png")
    (tmp_path / "lists").mkdir()
    write(tmp_path / "lists", "image,prompt\ntom.png,a\n", "rows.csv")
    path = yaml(tmp_path, "batch: cats\ndefaults: {seed: 3}\njobs: lists/rows.csv\n")

    with reading(path) as read:
        ((row,),) = read.rows()
        first = read.sha256
    assert batch_of(path) == "cats"
    assert inputs_of(row) == {"prompt": "a", "seed": 3}

    write(tmp_path / "lists", "image,prompt\ntom.png,b\n", "rows.csv")
    with reading(path) as read:
        assert read.sha256 != first


def test_a_mistake_in_the_table_names_the_table(tmp_path):
    write(tmp_path, f"image,prompt,seed\n{WEB},a,x\n", "rows.csv")

    assert mistakes(yaml(tmp_path, "jobs: rows.csv\n")) == ["rows.csv:2: seed: x is not a whole number"]


JOBS = "jobs: [{image: WEB, prompt: a}]\n"
BROKEN = {
    "alias": ("a: &x [1]\nb: *x\n", "cats.yaml:2: uses an alias"),
    "alias in a job": ("jobs:\n- image: &x a\n  prompt: *x\n", "cats.yaml:3: uses an alias"),
    "merge": ("jobs:\n- <<: {a: b}\n", "cats.yaml:2: merges another mapping"),
    "python tag": ("jobs: !!python/object/apply:os.system [id]\n", "cats.yaml:1: uses a tag"),
    "tag in a job": ("jobs:\n- image: !!binary aGVsbG8=\n", "cats.yaml:2: uses a tag"),
    "tagged key": ("jobs:\n- !x image: a\n", "cats.yaml:2: uses a tag"),
    "key twice": (
        "jobs:\n- image: a\n  image: b\n",
        "cats.yaml:3: gives a name a second time in one mapping: image",
    ),
    "setting twice": ("batch: a\nbatch: b\n", "cats.yaml:2: gives a name a second time"),
    "list as a name": ("? [a]\n: b\n", "cats.yaml:1: has a list or mapping where a name should be"),
    "too deep": ("[" * 100_000, "cats.yaml:1: does not begin with a setting"),
    "too deep inside": ("jobs: " + "[" * 100_000, "cats.yaml:1: is nested more than 20 deep"),
    "two documents": ("jobs: []\n---\njobs: []\n", "cats.yaml:2: has a second document"),
    "a list on top": (
        "- image: a\n",
        "cats.yaml:1: does not begin with a setting such as `jobs:`: put the list below it",
    ),
    "a text on top": ("hello", "cats.yaml:1: does not begin with a setting"),
    "only a comment": ("# nothing\n", "cats.yaml: is empty"),
    "bad syntax": ("jobs: [\n- :\n]}", "cats.yaml:2: is not valid YAML"),
    "a tab": (
        "jobs:\n\t- image: a\n",
        "cats.yaml:2: is not valid YAML: found character that cannot start any token; put text with any of : #",
    ),
    "a path of Windows": (
        'jobs:\n- image: "C:\\Users\\a.png"\n',
        "cats.yaml:2: is not valid YAML: did not find expected hexdecimal number; in double quotes write a backslash",
    ),
    "control character": ("jobs: \x07\n", "cats.yaml: is not valid YAML"),
    "bad UTF-8": (b"jobs:\n- image: caf\xe9\n", "cats.yaml:2: is not UTF-8: save the file as UTF-8: byte 13"),
    "NUL": ("jobs:\n- image: a\0\n", "cats.yaml:2: holds a NUL character"),
    "NUL by escape": ('jobs:\n- image: WEB\n  prompt: "a\\0"\n', "cats.yaml:3: holds a NUL character"),
    "unknown setting": ("job: []\n", "cats.yaml:1: job: is no setting of a manifest: did you mean jobs?"),
    "an input on top": (
        f"prompt: a\n{JOBS}",
        "cats.yaml:1: prompt: is no setting of a manifest: what holds for",
    ),
    "no jobs": ("batch: a\n", "cats.yaml: jobs: is not given: list the jobs, or name a CSV file"),
    "jobs as a mapping": ("jobs: {image: a}\n", "cats.yaml:1: jobs: should be a list"),
    "an empty list": ("jobs: []\n", "cats.yaml: lists no jobs: add a row for each image wanted"),
    "job as text": ("jobs:\n- tom.png\n", "cats.yaml:2: jobs: is no mapping: write - image: FILE"),
    "list as a value": (
        "jobs:\n- image: WEB\n  prompt: [a]\n",
        "cats.yaml:3: prompt: should be one text or number",
    ),
    "labels as a list": (
        "jobs:\n- image: WEB\n  prompt: a\n  labels: [b]\n",
        "cats.yaml:4: labels: should be a mapping",
    ),
    "a label without a name": (
        "jobs: [{image: WEB, prompt: a, labels: {'': b}}]",
        "cats.yaml:1: labels.: cannot name",
    ),
    "unknown name": (
        "jobs:\n- image: WEB\n  prompt: a\n  steps: 3\n",
        "cats.yaml:4: steps: did you mean num_inf",
    ),
    "no prompt": ("jobs:\n- image: WEB\n", "cats.yaml:2: prompt: is not given, and the model would paint"),
    "no image": (
        "jobs:\n- prompt: a\n",
        "cats.yaml:2: image: is not given: write the URL or the path of a picture",
    ),
    "bad value": (
        "jobs:\n- image: WEB\n  prompt: a\n  seed: x\n",
        "cats.yaml:2: seed: x is not a whole number",
    ),
    "defaults as a list": (f"defaults: [a]\n{JOBS}", "cats.yaml:1: defaults: should be a mapping"),
    "a list as a default": (
        f"defaults: {{seed: [1]}}\n{JOBS}",
        "cats.yaml:1: defaults.seed: should be one text",
    ),
    "labels as a mapping": (f"labels: {{a: b}}\n{JOBS}", "cats.yaml:1: labels: should be a list of names"),
    "batch as a list": (f"batch: [a]\n{JOBS}", "cats.yaml:1: batch: should be one text"),
    "images that are no folder": (
        "images: nowhere\njobs: [{image: WEB, prompt: a}]",
        "cats.yaml: images: is no folder: nowhere; name the one where the pictures are",
    ),
    "a long cell": (
        "jobs: [{image: WEB, prompt: " + "a" * 131_073 + "}]",
        "cats.yaml:1: prompt: has more than 131072",
    ),
    "yaml in yaml": ("jobs: cats.yaml\n", "cats.yaml: is YAML; jobs: in"),
    "no such table": ("jobs: rows.csv\n", "rows.csv: no such file in"),
    "too large": ("jobs:\n" + "#" * 64_000_001, "cats.yaml: is larger than 64 MB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_yaml_adds_or_breaks_has_a_sentence(tmp_path, name):
    content, sentence = BROKEN[name]
    content = content if isinstance(content, bytes) else content.replace("WEB", WEB)

    (line,) = mistakes(write(tmp_path, content, "cats.yaml"))

    assert line.startswith(sentence)


def test_mistakes_of_settings_and_of_jobs_are_told_in_one_go(tmp_path):
    path = yaml(
        tmp_path,
        """\
        default: {prompt: a, seed: x}
        labels: {a: b}
        xyz: red
        images: [pictures]
        columns: {seed: [1], image: file}
        jobs:
        - {file: WEB, steps: 3}
        - tom.png
        """,
    )
    told = [line.partition(": ") for line in mistakes(path)]
    assert [(place, what.partition(": rename")[0]) for place, _, what in told] == [
        ("cats.yaml:1", "default: is no setting of a manifest: did you mean defaults?"),
        ("cats.yaml:3", "xyz: is no setting of a manifest: what holds for every job goes under defaults:"),
        ("cats.yaml:4", "images: should be one text"),
        ("cats.yaml:5", "columns.seed: should be one text or number"),
        ("cats.yaml:2", "labels: should be a list of names"),
        ("cats.yaml", "defaults.seed: x is not a whole number"),
        ("cats.yaml:7", "steps: did you mean num_inference_steps?"),
        ("cats.yaml:8", "jobs: is no mapping: write - image: FILE"),
    ]


def test_alike_mistakes_of_many_jobs_are_one_line(tmp_path):
    (line,) = mistakes(yaml(tmp_path, "jobs:\n" + "- {image: WEB, prompt: a, strength: 1}\n" * 30))

    assert line.startswith("cats.yaml:2: strength: did you mean prompt_strength?")
    assert line.endswith("(30 times: lines 2-31)")


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)
_REFUSE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))
from tests import manifests
print(*manifests.mistakes(__import__("pathlib").Path(sys.argv[1])), sep="\\n")
"""


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB, "jobs: " + "[" * 2_000_000, "{a: " * 500_000])
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, text):
    path = write(tmp_path, text, "bomb.yaml")

    ended = subprocess.run(
        [sys.executable, "-c", _REFUSE, str(path)], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout.startswith("bomb.yaml:")
    assert ended.stdout.count("\n") == 1


def test_json_that_writes_an_emoji_as_two_halves_reads_as_it_was_meant(tmp_path):
    prompt = "a \U0001f600\U0001f984 and \\ud83d\\ude00 as text"
    path = tmp_path / "night.json"
    path.write_text(json.dumps({"jobs": [{"image": "https://example.com/a.png", "prompt": prompt}]}))
    with reading(path) as read:
        (((only,),)) = read.rows()
    assert inputs_of(only)["prompt"] == prompt
