from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from sim.scenario.reference import json_schema, reference_markdown, schema_text
from sim.scenario.tree import fields_by_key, walk

ROOT = Path(__file__).parents[3]


def test_the_reference_is_that_of_the_code() -> None:
    written = (ROOT / "docs/reference/scenario.md").read_text(encoding="utf-8")
    assert written == reference_markdown(), (
        "run: python -m sim.scenario.reference > docs/reference/scenario.md"
    )


def test_the_schema_is_that_of_the_code() -> None:
    written = (ROOT / "scenarios/scenario.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "run: trustedpods schema > scenarios/scenario.schema.json"


def test_scenarios_begin_with_the_line_that_makes_editors_use_it() -> None:
    for path in (ROOT / "scenarios").glob("*/scenario.yaml"):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert first == "# yaml-language-server: $schema=../scenario.schema.json"


def test_every_key_is_explained() -> None:
    models: list[type[BaseModel]] = list(walk())
    assert len(models) > 40
    for model in models:
        assert model.__doc__
        for key, field in fields_by_key(model).items():
            assert field.description and field.description.endswith("."), f"{model.__name__}.{key}"


def test_the_schema_knows_every_top_level_key_and_refuses_others() -> None:
    schema = json_schema()
    assert set(schema["required"]) == {"name", "duration", "providers", "publishers"}
    assert schema["additionalProperties"] is False
    assert "crypto" in schema["properties"]
    json.dumps(schema)
