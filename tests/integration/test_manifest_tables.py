import json

import pytest

from jobs import errors
from jobs.manifest import problems, rows, schema
from jobs.manifest.pictures import Travel
from tests.manifests import WEB, inputs_of, labels_of, mistakes, picture, reading, rows_of, write

VERSION = "stability-ai/stable-diffusion-img2img:" + "0" * 64


def test_a_row_carries_all_that_its_cells_say(tmp_path):
    path = write(
        tmp_path,
        "image,prompt,prompt_strength,num_outputs,seed,key,priority,version,label.split,label.who\n"
        f"{WEB},a cat,0.5,2,7,toms/one,5,{VERSION},train,\n",
    )

    (row,) = rows_of(path)

    assert row.row == 2
    assert (row.key, row.stem, row.image, row.priority, row.version) == (
        "toms/one",
        "toms/one",
        WEB,
        5,
        VERSION,
    )
    assert inputs_of(row) == {"prompt": "a cat", "prompt_strength": 0.5, "num_outputs": 2, "seed": 7}
    assert labels_of(row) == {"split": "train"}
    assert row.problem is None


def test_an_empty_cell_means_not_given(tmp_path):
    (row,) = rows_of(write(tmp_path, f'image,prompt,seed,prompt_strength\n{WEB},a cat,," "\n'))

    assert inputs_of(row) == {"prompt": "a cat"}
    assert row.priority == 0
    assert row.version is None


@pytest.mark.parametrize("cell", ["=HYPERLINK(A1)", "+1", "-2", "@x", "🐈 naïve 猫", "no", "  two  blanks "])
def test_odd_prompts_load_unchanged(tmp_path, cell):
    (row,) = rows_of(write(tmp_path, f"image,prompt\n{WEB},{cell}\n"))

    assert inputs_of(row)["prompt"] == cell


def test_newlines_commas_and_quotes_inside_quotes_load_unchanged(tmp_path):
    path = write(tmp_path, f'image,prompt\r\n{WEB},"a ""cat"",\r\nor two\n"\r\n{WEB},dog\r\n')

    cat, dog = rows_of(path)

    assert inputs_of(cat)["prompt"] == 'a "cat",\r\nor two\n'
    assert (cat.row, dog.row) == (2, 5)


MISQUOTED = "has a blank before its opening quote: delete the blank"


@pytest.mark.parametrize("cell", [' "b, c"', '  "b"', ' "Hello" says a sign', ' "b\nc"', ' "b'])
def test_a_blank_before_an_opening_quote_is_told_with_its_place_and_never_bought_as_text(tmp_path, cell):
    path = write(tmp_path, f"image, prompt\n{WEB}, a fox\n{WEB},{cell}\n")

    assert mistakes(path)[0].startswith(f"cats.csv:3: prompt: {MISQUOTED}")
    with reading(path, keep_going=True) as read:
        assert [bool(row.problem) for chunk in read.rows() for row in chunk][:2] == [False, True]


def test_a_blank_before_a_quoted_header_is_told(tmp_path):
    (line,) = mistakes(write(tmp_path, f'image, "prompt"\n{WEB},a\n'))

    assert line.startswith(f"cats.csv:1: {MISQUOTED}")


@pytest.mark.parametrize("prompt", [' "Hello" says a sign', 'says "Hello", "you" or\n "they"', " a, b", ' "'])
def test_a_prompt_may_have_blanks_before_its_own_quotes(tmp_path, prompt):
    quoted = prompt.replace('"', '""')

    (row,) = rows_of(write(tmp_path, f'image,prompt\n{WEB},"{quoted}"\n'))

    assert inputs_of(row)["prompt"] == prompt


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\ufeff\n\n"])
def test_any_line_end_byte_order_mark_and_empty_lines_are_read(tmp_path, start, end):
    text = f"{start}image,prompt\n{WEB},a\n\n,\n \t , \n{WEB},b\n".replace("\n", end)

    found = rows_of(write(tmp_path, text))

    assert [inputs_of(row)["prompt"] for row in found] == ["a", "b"]
    assert found[1].row - found[0].row == 4


@pytest.mark.parametrize("name", ["cats.tsv", "cats.tab", "cats.csv", "cats"])
def test_tabs_are_known_by_the_name_or_the_header(tmp_path, name):
    (row,) = rows_of(write(tmp_path, f"image\tprompt\n{WEB}\ta, b; c\n", name))

    assert inputs_of(row)["prompt"] == "a, b; c"


def test_commas_under_the_name_of_a_table_with_tabs_are_told(tmp_path):
    (line,) = mistakes(write(tmp_path, f"image,prompt\n{WEB},a\n", "cats.tsv"))

    assert line == "cats.tsv:1: has columns divided by ',': save it with tabs, or as .csv"


IDENTITY = ("key", "digest", "input_json", "labels_json", "row")
COMMAS = f'image,prompt,prompt_strength,label.a\n{WEB},"a, b; ü",0.5,x\n{WEB},b,,\n'
SEMICOLONS = f'image;prompt;prompt_strength;label.a\n{WEB};"a, b; ü";0,5;x\n{WEB};b;;\n'
TABS = SEMICOLONS.replace(";", "\t").replace("a, b\t ü", "a, b; ü")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (SEMICOLONS, "cats.csv"),
        (SEMICOLONS.replace("0,5", "0.5"), "cats"),
        (SEMICOLONS.replace("\n", "\r\n").encode("utf-8-sig"), "cats.csv"),
        (TABS, "cats.tsv"),
        (TABS.replace("0,5", "0.5"), "cats.tsv"),
    ],
)
def test_what_divides_the_cells_changes_no_row(tmp_path, content, name):
    wanted = [[getattr(row, field) for field in IDENTITY] for row in rows_of(write(tmp_path, COMMAS))]

    found = rows_of(write(tmp_path, content, name))

    assert [[getattr(row, field) for field in IDENTITY] for row in found] == wanted


@pytest.mark.parametrize(
    ("first", "text", "name"),
    [
        ("sep=;\n", SEMICOLONS, "cats.csv"),
        ("\ufeffSEP=;\r\n", SEMICOLONS, "cats.csv"),
        ('"sep=;"\n', SEMICOLONS, "cats"),
        ("sep=,,,\n", COMMAS, "cats.csv"),
        ("\nsep=,\n", COMMAS, "cats.tsv"),
        ("sep=\t\n", TABS, "cats.csv"),
    ],
)
def test_a_first_line_for_spreadsheets_names_what_divides_the_cells_and_is_no_row(
    tmp_path, first, text, name
):
    plain, named = rows_of(write(tmp_path, text)), rows_of(write(tmp_path, first + text, name))

    assert [row.digest for row in named] == [row.digest for row in plain]
    assert [row.row for row in named] == [row.row + first.count("\n") for row in plain]


def test_a_named_separator_is_taken_at_its_word(tmp_path):
    (row,) = rows_of(write(tmp_path, f"sep=;\nimage;prompt;label.a,b\n{WEB};a;x\n"))

    assert labels_of(row) == {"a,b": "x"}


def test_a_named_separator_and_nothing_else_is_empty(tmp_path):
    assert mistakes(write(tmp_path, "sep=;\n")) == ["cats.csv: is empty"]


@pytest.mark.parametrize("other", ['"Really, truly"', '"a, ""b"", c"'])
def test_a_comma_in_a_quoted_header_divides_nothing(tmp_path, other):
    path = write(tmp_path, f"image;prompt;{other}\n{WEB};a;b\n")

    (row,) = rows_of(path, rows.Adaptation(labels=("*",)))

    assert list(labels_of(row).values()) == ["b"]


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("guidance_scale", "7,500", 'guidance_scale: "7,500" has a decimal comma: write 7.500'),
        ("guidance_scale", "7,5,5", 'guidance_scale: "7,5,5" is not a number'),
        ("seed", "7,5", 'seed: "7,5" is not a whole number'),
        ("seed", "1,000", 'seed: "1,000" is not a whole number'),
        ("prompt_strength", "1,8", 'prompt_strength: "1,8" is more than 1'),
    ],
)
def test_a_comma_between_semicolons_is_a_decimal_one_only_where_nothing_else_can_be_meant(
    tmp_path, column, cell, told
):
    assert mistakes(write(tmp_path, f"image;prompt;{column}\n{WEB};a;{cell}\n")) == [f"cats.csv:2: {told}"]


def test_a_whole_number_may_be_written_as_a_spreadsheet_with_decimal_commas_writes_it(tmp_path):
    (row,) = rows_of(write(tmp_path, f"image;prompt;seed;priority\n{WEB};a;25,0;3,0\n"))

    assert (inputs_of(row)["seed"], row.priority) == (25, 3)


@pytest.mark.parametrize(("mark", "name"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs")])
def test_too_many_cells_are_told_by_what_divides_them(tmp_path, mark, name):
    (line,) = mistakes(write(tmp_path, "image|prompt\nx|a|b\n".replace("|", mark)))

    assert line.endswith(f"3, not 2; put text that holds {name} in quotes")


def test_a_trailing_comma_in_every_line_is_no_column(tmp_path):
    assert len(rows_of(write(tmp_path, f"image,prompt,\n{WEB},a,\n{WEB},b,,,\n"))) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["cats.csv", "cats.txt"])
def test_utf_16_with_its_mark_is_read_as_spreadsheets_write_it(tmp_path, encoding, name):
    text = f"image\tprompt\r\n{WEB}\ta, ü 🐈\r\n"

    (row,) = rows_of(write(tmp_path, f"\ufeff{text}".encode(encoding), name))

    assert (row, inputs_of(row)["prompt"]) == (rows_of(write(tmp_path, text, name))[0], "a, ü 🐈")


BROKEN = {
    "no header": (
        f"{WEB},a fox\n{WEB},a hen\n",
        "cats.csv:1: names no column that is known: begin the file with a header",
    ),
    "open quote": (f'image,prompt\n{WEB},"a\n', "cats.csv:2: opens a quote that is never closed"),
    "blank after a quote": (
        f'image,prompt\n{WEB},"a" ,\n',
        "cats.csv:2: has text after a closing quote (a blank",
    ),
    "text after a quote": (f'image,prompt\n{WEB},"a"b\n', "cats.csv:2: has text after a closing quote"),
    "swallowed rows": (
        f'image,prompt\n{WEB},"' + "a\n" * 70_000,
        "cats.csv:2: has a cell of more than 131072",
    ),
    "an endless line": ("image,prompt\n" + "a" * 4_000_001, "cats.csv:2: is longer than 4000000 characters"),
    "NUL": (f"image,prompt\n{WEB},a\0b\n", "cats.csv:2: holds a NUL character"),
    "bad UTF-8": (
        f"image,prompt\n{WEB},ä ".encode() + b"caf\xe9",
        "cats.csv:2: is not UTF-8: save the file as UTF-8: byte",
    ),
    "UTF-32": ("image,prompt\n".encode("utf-32"), "cats.csv: is UTF-16 or UTF-32: save it as UTF-8"),
    "half of UTF-16": (
        "image,prompt\n".encode("utf-16")[:-1],
        "cats.csv: is no whole UTF-16: save it as UTF-8",
    ),
    "UTF-16 without a mark": ("image,prompt\n".encode("utf-16-le"), "cats.csv: is UTF-16 or UTF-32"),
    "spreadsheet": (b"PK\x03\x04...", "cats.csv: is a spreadsheet or an archive: save it as CSV"),
    "gzip": (b"\x1f\x8b\x08", "cats.csv: is compressed"),
    "picture": (b"\x89PNG\r\n", "cats.csv: is a picture: name the manifest"),
    "empty": ("", "cats.csv: is empty"),
    "blank": (" \n\n", "cats.csv: is empty"),
    "only commas": (",,\n", "cats.csv: is empty"),
    "only a header": ("image,prompt\n", "cats.csv: lists no jobs: add a row for each image wanted"),
    "a million columns": ("a," * 1_000_000 + "\n", "cats.csv:1: has more than 1000 columns"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_table_has_a_sentence(tmp_path, name):
    content, sentence = BROKEN[name]

    try:
        lines = mistakes(write(tmp_path, content))
    except problems.Unreadable as unreadable:
        lines = [str(unreadable).replace(f"{tmp_path}/", "")]

    assert len(lines) == 1
    assert lines[0].startswith(sentence)


def test_bad_utf8_names_the_byte_in_its_line(tmp_path):
    assert mistakes(write(tmp_path, b"image,prompt\nx,\xc3\xa4\xff\n"))[0].endswith("byte 5")


ROWS = {
    "decimal comma": ("prompt_strength", '"0,8"', 'prompt_strength: "0,8" has a decimal comma: write 0.8'),
    "too much": ("prompt_strength", "1.8", "prompt_strength: 1.8 is more than 1"),
    "too little": ("num_outputs", "0", "num_outputs: 0 is less than 1"),
    "no integer": ("seed", "many", "seed: many is not a whole number"),
    "half an output": ("num_outputs", "1.5", "num_outputs: 1.5 is not a whole number"),
    "version": ("version", "latest", "version: latest is no version: write owner/name:"),
    "priority": ("priority", "high", "priority: high is not a whole number"),
    "priority too large": ("priority", "3000000000", "priority: 3000000000 is a number too large"),
    "key": ("key", "../x", "key: ../x has an empty, '.' or '..' part"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_cell_has_a_sentence_with_file_line_column_and_value(tmp_path, name):
    column, cell, sentence = ROWS[name]

    (line,) = mistakes(write(tmp_path, f"image,prompt,{column}\n{WEB},a,{cell}\n"))

    assert line.startswith(f"cats.csv:2: {sentence}")


def test_all_mistakes_are_told_at_once_and_alike_ones_together(tmp_path):
    text = "image,prompt,prompt_strength,num_outputs\n" + f"{WEB},a,1.8,9\n" * 14 + f"{WEB},,0.5,1\n"

    found = mistakes(write(tmp_path, text))

    assert found[:2] == [
        "cats.csv:2: prompt_strength: 1.8 is more than 1 (14 times: lines 2-15)",
        "cats.csv:2: num_outputs: 9 is more than 8 (14 times: lines 2-15)",
    ]
    assert found[2].startswith(
        "cats.csv:16: prompt: is not given, and the model would paint a fantasy landscape"
    )
    assert len(found) == 3


def test_rows_with_too_many_or_too_few_cells_are_named_once_each(tmp_path):
    found = mistakes(write(tmp_path, f"image,prompt,seed\n{WEB},a, b,1,1\n{WEB},a\n{WEB}\n"))

    assert found == [
        "cats.csv:2: has more cells than the header: 5, not 3; put text that holds commas in quotes",
        "cats.csv:3: has fewer cells than the header: 2 of 3 (2 times: lines 3-4)",
    ]


def test_a_cell_in_a_column_without_a_name_is_a_mistake(tmp_path):
    (line,) = mistakes(write(tmp_path, f"image,prompt,\n{WEB},a,b\n"))

    assert line == (
        "cats.csv:2: has a cell in a column without a name: "
        "name the column in the header, or leave it out (in pandas: index=False)"
    )


@pytest.mark.parametrize(
    ("header", "near"),
    [
        ("prompt_strenght", "prompt_strength"),
        ("Prompt Strength", "prompt_strength"),
        ("steps", "num_inference_steps"),
        ("cfg_scale", "guidance_scale"),
        ("denoising_strength", "prompt_strength"),
        ("sampler", "scheduler"),
        ("n", "num_outputs"),
        ("negative", "negative_prompt"),
        ("keys", "key"),
    ],
)
def test_an_unknown_column_is_a_mistake_that_names_the_nearest(tmp_path, header, near):
    (line,) = mistakes(write(tmp_path, f"image,prompt,{header}\n{WEB},a,1\n"))

    assert line.startswith(f"cats.csv:1: {header}: did you mean {near}?: rename it, or use --column {near}=")


def test_a_column_like_nothing_known_lists_what_is(tmp_path):
    (line,) = mistakes(write(tmp_path, f"image,prompt,zzz\n{WEB},a,1\n"))

    assert line.startswith("cats.csv:1: zzz: is no input of the model: it knows image, key,")
    assert line.endswith("to carry the column along: --label zzz")


@pytest.mark.parametrize("header", ["caption", "promt"])
def test_a_name_that_has_its_column_is_not_suggested_again_nor_another_instead(tmp_path, header):
    (line,) = mistakes(write(tmp_path, f"image,prompt,{header}\n{WEB},a,b\n"))

    assert line.startswith(f"cats.csv:1: {header}: is no input of the model")


def test_a_missing_image_column_is_told_once_or_by_the_column_that_was_meant(tmp_path):
    assert mistakes(write(tmp_path, "prompt\na\nb\n")) == [
        "cats.csv:1: image: is required, and there is no such column"
    ]
    (line,) = mistakes(write(tmp_path, f"url,prompt\n{WEB},a\n"))
    assert line.startswith("cats.csv:1: url: did you mean image?")


def test_a_header_twice_is_a_mistake(tmp_path):
    assert mistakes(write(tmp_path, f"image,prompt,prompt\n{WEB},a,b\n")) == [
        "cats.csv:1: prompt: is the header of more than one column: rename all but one"
    ]


def test_two_columns_for_one_label_are_a_mistake(tmp_path):
    path = write(tmp_path, f"image,prompt,label.who,who\n{WEB},a,b,c\n")

    assert mistakes(path, rows.Adaptation(labels=("who",))) == [
        "cats.csv:1: who: is given by more than one column: label.who, who"
    ]


def test_a_label_needs_a_name(tmp_path):
    (line,) = mistakes(write(tmp_path, f"image,prompt,label.\n{WEB},a,b\n"))

    assert "label.: cannot name a label" in line


def test_an_unknown_scheduler_is_a_warning_and_no_mistake(tmp_path):
    path = write(tmp_path, f"image,prompt,scheduler\n{WEB},a,K_EULR\n{WEB},b,PNDM\n")

    with reading(path) as read:
        (line,) = read.warnings.lines()
        (chunk,) = read.rows()

    assert "scheduler: K_EULR is none of DDIM" in line
    assert inputs_of(chunk[0])["scheduler"] == "K_EULR"


def test_nothing_that_a_cell_holds_reaches_a_terminal_raw(tmp_path):
    (line,) = mistakes(write(tmp_path, f"image,prompt,seed\n{WEB},a,\x1b[2J\u202e\n"))

    assert line.isprintable()


def test_a_manifest_with_mistakes_gives_no_rows(tmp_path):
    with (
        reading(write(tmp_path, f"image,prompt,seed\n{WEB},a,x\n{WEB},a,1\n")) as read,
        pytest.raises(errors.Mistakes) as caught,
    ):
        read.rows()

    assert caught.value.exit_code == 2


def test_keep_going_makes_a_bad_row_a_failed_one_with_its_place(tmp_path):
    path = write(tmp_path, f"image,prompt,seed,key\n{WEB},a,x,one\n{WEB},b,2,two\n{WEB},c,3,two\n{WEB},d\n")

    with reading(path, keep_going=True) as read:
        found = [row for chunk in read.rows() for row in chunk]

        assert not read.problems
        assert len(read.warnings.lines()) == 3
        assert (read.count, read.failed, read.outputs) == (4, 3, 1)

    assert [row.problem for row in found] == [
        "cats.csv:2: seed: x is not a whole number",
        None,
        "cats.csv:4: key: two is the key of an earlier row too: line 3; give each row a key of its own",
        "cats.csv:5: has fewer cells than the header: 2 of 4",
    ]
    assert [row.key for row in found][:3] == ["one", "two", "two-2"]


def test_a_row_whose_key_is_taken_counts_for_no_image(tmp_path):
    path = write(tmp_path, f"key,image,prompt,num_outputs\na,{WEB},x,1\na,{WEB},y,4\nb,{WEB},z,2\n")
    with reading(path, keep_going=True) as read:
        assert (read.count, read.failed, read.outputs) == (3, 1, 3)
        assert read.images == {Travel.URL: 2}


def test_keep_going_does_not_forgive_the_file_itself(tmp_path):
    assert mistakes(write(tmp_path, f"image,prompt,zzz\n{WEB},a,b\n"), keep_going=True)


def test_a_limit_reads_the_first_rows_only_and_says_so(tmp_path):
    path = write(tmp_path, f"image,prompt,seed\n{WEB},a,1\n{WEB},b,2\n{WEB},c,x\n")

    with reading(path, limit=2) as read:
        assert (read.count, read.complete, bool(read.problems)) == (2, False, False)
    with reading(path, limit=3) as read:
        assert (read.count, read.complete, bool(read.problems)) == (3, True, True)


def test_rows_come_in_chunks_in_the_order_of_the_file(tmp_path):
    path = write(tmp_path, "image,prompt\n" + "".join(f"{WEB},p{n}\n" for n in range(5003)))

    with reading(path) as read:
        chunks = list(read.rows(2000))

    assert [len(chunk) for chunk in chunks] == [2000, 2000, 1003]
    assert [inputs_of(row)["prompt"] for chunk in chunks for row in chunk] == [f"p{n}" for n in range(5003)]


def test_a_file_that_cannot_be_changed_is_read_by_an_adaptation(tmp_path):
    picture(tmp_path / "photos" / "tom.png")
    path = write(tmp_path, "file_name,caption,prompt,split\ntom.png,a cat,ignored,train\n")
    adaptation = rows.Adaptation(
        columns={"image": "file_name", "prompt": "caption", "key": "file_name"},
        labels=("prompt", "*"),
        defaults={"prompt_strength": "0.5", "num_outputs": 3, "priority": 2},
        images=tmp_path / "photos",
    )

    (row,) = rows_of(path, adaptation)

    assert (row.key, row.image, row.priority) == ("tom.png", "tom.png", 2)
    assert inputs_of(row) == {"prompt": "a cat", "prompt_strength": 0.5, "num_outputs": 3}
    assert labels_of(row) == {"prompt": "ignored", "split": "train"}


def test_a_default_fills_empty_cells_and_makes_an_absent_column_good(tmp_path):
    path = write(tmp_path, f"image,seed\n{WEB},1\n{WEB},\n")

    found = rows_of(path, rows.Adaptation(defaults={"prompt": "a cat", "seed": 9}))

    assert [inputs_of(row) for row in found] == [
        {"prompt": "a cat", "seed": 1},
        {"prompt": "a cat", "seed": 9},
    ]


ADAPTATIONS = {
    "unknown input": (
        {"columns": {"promt": "b"}},
        "--column promt=b: is no input of the model: did you mean prompt?",
    ),
    "absent header": (
        {"columns": {"seed": "zahl"}},
        "cats.csv:1: zahl: is no column of this file: --column seed=zahl",
    ),
    "absent label": (
        {"labels": ("who",)},
        "cats.csv:1: who: is no column of this file: --label who names it",
    ),
    "default of other bytes": (
        {"defaults": {"prompt": "\udcff"}},
        '--default "prompt=\\udcff": "\\udcff" is not UTF-8',
    ),
    "no header": (
        {"columns": {"seed": ""}},
        "--column seed=: is read from a column without a name: write INPUT=HEADER",
    ),
    "bad default": (
        {"defaults": {"prompt_strength": 1.8}},
        "--default prompt_strength=1.8: 1.8 is more than 1",
    ),
    "untyped default": ({"defaults": {"seed": "x"}}, "--default seed=x: x is not a whole number"),
    "unknown default": (
        {"defaults": {"steps": 3}},
        "--default steps=3: cannot have a default: did you mean num_inf",
    ),
    "default key": (
        {"defaults": {"key": "a"}},
        "--default key=a: cannot have a default: each row has a key of its own",
    ),
}


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_an_adaptation_that_fits_nothing_has_a_sentence(tmp_path, name):
    options, sentence = ADAPTATIONS[name]

    (line,) = mistakes(write(tmp_path, f"image,prompt\n{WEB},a\n"), rows.Adaptation(**options))

    assert line.startswith(sentence)


def test_pictures_in_a_folder_that_is_none_are_not_told_of_row_by_row(tmp_path):
    path = write(tmp_path, "image,prompt,seed\na.png,a,1\nb.png,b,x\n")

    assert mistakes(path, rows.Adaptation(images=tmp_path / "nowhere")) == [
        "cats.csv:3: seed: x is not a whole number",
        "--images nowhere: is no folder: name the one where the pictures are",
    ]


def test_what_the_file_says_itself_is_told_under_its_own_name(tmp_path):
    write(tmp_path, f"image,prompt\n{WEB},a\n")
    text = "columns: {foo: bar}\ndefaults: {promt: x, seed: y}\njobs: cats.csv\n"
    path = write(tmp_path, text, "cats.yaml")

    column, *defaults = mistakes(path, rows.Adaptation(defaults={"promt": "z"}))

    assert column.startswith("cats.yaml: columns.foo: is no input of the model: it knows image")
    assert defaults == [
        "--default promt=z: cannot have a default: did you mean prompt?",
        "cats.yaml: defaults.seed: y is not a whole number",
    ]


def test_a_column_that_another_one_replaces_is_not_passed_over_in_silence(tmp_path):
    path = write(tmp_path, f"image,url,prompt\nx.png,{WEB},a\n")

    (line,) = mistakes(path, rows.Adaptation(columns={"image": "url"}))
    assert line.startswith(
        "cats.csv:1: image: is not read, because another column gives this input: --column"
    )
    assert line.endswith("--column image=url; to carry the column along: --label image")

    (row,) = rows_of(path, rows.Adaptation(columns={"image": "url"}, labels=("image",)))
    assert (row.image, labels_of(row)) == (WEB, {"image": "x.png"})


def test_a_slip_among_carried_columns_is_a_warning(tmp_path):
    path = write(tmp_path, f"image,prompt,prompt_strenght,mood\n{WEB},a,0.5,x\n")

    with reading(path, rows.Adaptation(labels=("*",))) as read:
        assert not read.problems
        (line,) = read.warnings.lines()

    assert line.endswith("prompt_strenght: is carried as a label: did you mean prompt_strength?")


def test_an_adaptation_survives_its_way_through_json(tmp_path):
    adaptation = rows.Adaptation({"image": "f"}, ("a", "*"), {"seed": 1, "prompt": "x"}, tmp_path)

    for one in (adaptation, rows.Adaptation()):
        written = json.dumps(rows.STORED.dump_python(one, mode="json"))
        assert rows.STORED.validate_python(json.loads(written)) == one


def test_another_model_asks_for_its_own_inputs_and_no_prompt(tmp_path, monkeypatch):
    upscaler = schema.parse(
        {
            "x-version": "b" * 64,
            "components": {
                "schemas": {
                    "Input": {
                        "type": "object",
                        "required": ["image", "scale"],
                        "properties": {
                            "image": {"type": "string"},
                            "scale": {"type": "integer", "maximum": 4},
                        },
                    }
                }
            },
        }
    )
    table = write(tmp_path, f"image,scale\n{WEB},2\n{WEB},8\n{WEB},\n")
    listed = write(tmp_path, f"jobs: [{{image: {WEB}, scale: 3}}]", "cats.yaml")

    monkeypatch.setattr(schema, "load", lambda: upscaler)
    assert mistakes(table) == [
        "cats.csv:3: scale: 8 is more than 4",
        "cats.csv:4: scale: is not given, and the model needs it",
    ]
    assert inputs_of(rows_of(listed)[0]) == {"scale": 3}
