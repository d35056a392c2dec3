import pytest

from jobs.manifest import cells, schema

MODEL = schema.load()
GOOD = {"image": "a.png", "prompt": "a cat"}


def test_the_model_is_the_one_the_gateway_documents():
    cells.version(MODEL.version)
    assert list(MODEL.inputs) == [
        "image",
        "prompt",
        "negative_prompt",
        "prompt_strength",
        "num_outputs",
        "num_inference_steps",
        "guidance_scale",
        "scheduler",
        "seed",
    ]
    assert MODEL.inputs["scheduler"].type == "string"
    assert MODEL.inputs["prompt_strength"].default == 0.8


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("prompt_strength", 0, 1),
        ("num_outputs", 1, 8),
        ("num_inference_steps", 1, 500),
        ("guidance_scale", 1, 20),
    ],
)
def test_bounds_are_inclusive_and_named(name, low, high):
    assert list(MODEL.complaints({**GOOD, name: low})) == []
    assert list(MODEL.complaints({**GOOD, name: high})) == []
    assert list(MODEL.complaints({**GOOD, name: low - 1})) == [schema.Complaint(name, f"is less than {low}")]
    assert list(MODEL.complaints({**GOOD, name: high + 1})) == [
        schema.Complaint(name, f"is more than {high}")
    ]


def test_an_unknown_scheduler_only_warns():
    (complaint,) = MODEL.complaints({**GOOD, "scheduler": "K_EULR"})

    assert complaint.advisory
    assert "K_EULER_ANCESTRAL" in complaint.message


def test_a_job_without_num_outputs_makes_the_models_default():
    assert MODEL.outputs({}) == 1
    assert MODEL.outputs({"num_outputs": 3}) == 3


ANOTHER = {
    "x-version": "b" * 64,
    "components": {
        "schemas": {
            "Input": {
                "type": "object",
                "required": ["image", "style"],
                "properties": {
                    "style": {"allOf": [{"$ref": "#/components/schemas/style"}], "x-order": 1},
                    "image": {"type": "string", "x-order": 0},
                    "upscale": {"anyOf": [{"type": "null"}, {"type": "integer", "exclusiveMinimum": 0}]},
                    "note": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
                },
            },
            "style": {"type": "string", "enum": ["oil", "ink"]},
        }
    },
}


def test_another_model_is_another_document_and_no_code():
    model = schema.parse(ANOTHER)

    assert [(name, each.type) for name, each in model.inputs.items()] == [
        ("image", "string"),
        ("style", "string"),
        ("upscale", "integer"),
        ("note", "string"),
    ]
    assert model.outputs({}) == 1
    assert model.version == "b" * 64
    assert list(model.complaints({"image": "a", "style": "oil", "upscale": 2})) == []


@pytest.mark.parametrize(
    ("values", "name", "message"),
    [
        ({"image": "a"}, "style", "is not given, and the model needs it"),
        ({"image": "a", "style": "wax"}, "style", "is none of oil, ink"),
        ({"image": "a", "style": "oil", "note": "a"}, "note", "has fewer than 2 characters"),
        ({"image": "a", "style": "oil", "note": "aaaa"}, "note", "has more than 3 characters"),
        ({"image": "a", "style": "oil", "note": "ba"}, "note", "does not fit the model's pattern rule"),
    ],
)
def test_what_the_schema_says_is_a_sentence_without_the_value(values, name, message):
    (complaint,) = schema.parse(ANOTHER).complaints(values)

    assert complaint.name == name
    assert complaint.message.startswith(message)
    assert not complaint.advisory
