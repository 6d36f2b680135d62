import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.grading.templates import MissingVariableError, TemplateSyntaxError, parse_template

VALUES = {
    "item": {"answer": "94", "n": 1.0, "tags": ["a", "b"], "odd key": {"x-y": None}, "quo}}te": 3, "on": True},
    "sample": {"output_text": "{{item.answer}}", "output_json": {"é": [1, 2]}},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain } text { here }}", "plain } text { here }}"),
        ("{{item.answer}}", "94"),
        ("{{ item.answer }}", "94"),
        ("a {{item.answer}} b {{ item.tags[1] }} c", "a 94 b b c"),
        ("{{item.n}}", "1.0"),
        ("{{item.on}}", "true"),
        ("{{item.tags}}", '["a","b"]'),
        ("{{sample.output_json}}", '{"é":[1,2]}'),
        ('{{ item["odd key"].x-y }}', "null"),
        ("{{ item['odd key']['x-y'] }}", "null"),
        ('{{ item["quo}}te"] }}', "3"),
    ],
)
def test_templates_are_rendered(template, text) -> None:
    assert parse_template(template).render(VALUES) == text


def test_substituted_text_is_never_read_as_a_template() -> None:
    assert parse_template("<{{sample.output_text}}>").render(VALUES) == "<{{item.answer}}>"


@pytest.mark.parametrize(
    "template",
    ["{{item.nothing}}", "{{item.tags[2]}}", "{{item.tags.a}}", "{{item[0]}}", "{{item.answer[0]}}", "{{item.n.x}}"],
)
def test_a_path_that_leads_nowhere_is_missing(template) -> None:
    with pytest.raises(MissingVariableError, match="there is no"):
        parse_template(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{item.answer", "'{{' at character 1 is never closed"),
        ("{{}}", "only namespaces"),
        ("{{answer}}", "does not begin with item or sample"),
        ("{{items.answer}}", "does not begin with item or sample"),
        ("{{item.answer | upper}}", "cannot read"),
        ("{{item..answer}}", "cannot read"),
        ("{{item.0}}", "cannot read"),
        ("{{item[-1]}}", "cannot read"),
        ("{{item[answer]}}", "cannot read"),
        ("{{item.__class__()}}", "cannot read"),
        ('{{item["\\q"]}}', "is no JSON string"),
    ],
)
def test_what_is_no_template_is_refused(template, said) -> None:
    with pytest.raises(TemplateSyntaxError, match=said.replace("{", r"\{")):
        parse_template(template)


@given(text=st.text(), value=st.text())
def test_text_without_braces_and_any_value_come_through_unchanged(text: str, value: str) -> None:
    text = text.replace("{{", "")
    assert parse_template(text + " {{item.v}}").render({"item": {"v": value}}) == f"{text} {value}"
