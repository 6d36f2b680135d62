import pytest

from agentrft.datasets import count_rows
from agentrft.datasets.rows import MAX_LINE_BYTES, read_rows
from agentrft.domain.errors import UserError


def refuse(path, param: str = "training_file") -> UserError:
    with pytest.raises(UserError) as caught:
        list(read_rows(path, param=param))
    return caught.value


def test_rows_are_counted_without_blank_lines_and_byte_order_mark(write_rows) -> None:
    path = write_rows(b'\xef\xbb\xbf{"a": 1}', "", {"b": "\N{SNOWMAN}"}, "  ", "")
    assert [(row.index, row.value) for row in read_rows(path, param="training_file")] == [
        (0, {"a": 1}),
        (1, {"b": "\N{SNOWMAN}"}),
    ]
    assert count_rows(path) == 2


def test_windows_line_ends_are_read(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\r\n{"a": 2}\r\n')
    assert count_rows(path) == 2


def test_a_row_that_is_no_object_is_named(write_rows) -> None:
    error = refuse(write_rows(*[{}] * 6, [1, 2]))
    assert error.message == (
        "Invalid file format. Expected file to have JSONL format, where every line is a JSON dictionary. "
        'Example 7 is not a dictionary (line 7; HINT: line starts with: "[1, 2]"...).'
    )
    assert (error.param, error.code) == ("training_file", "invalid_training_file")


def test_a_line_that_is_no_json_is_named_with_its_line(write_rows) -> None:
    error = refuse(write_rows({}, "", '{"a": 1 "b"}'), param="validation_file")
    assert error.message == (
        "Invalid file format. Example 2 cannot be parsed. Error: line contains invalid json: "
        "Expecting ',' delimiter: line 1 column 9 (char 8) (line 3)"
    )
    assert error.code == "invalid_validation_file"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"[" * 100_000, "cannot be parsed"),
        (b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}", "nested more than 100 levels deep"),
        (b'{"a": "\xff"}', "Example 1 is not valid UTF-8"),
        (b'{"a": "\\ud800"}', "Example 1 is not valid UTF-8"),
    ],
)
def test_what_other_programs_could_not_read_is_refused(write_rows, line, said) -> None:
    assert said in refuse(write_rows(line)).message


def test_many_brackets_side_by_side_are_fine(write_rows) -> None:
    assert count_rows(write_rows({"a": [[]] * 500})) == 1


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
def test_an_empty_file_is_refused(write_rows, content) -> None:
    error = refuse(write_rows(content))
    assert error.message == "Training file has 0 example(s), but must have at least 1 example"
    assert error.code == "invalid_n_examples"


def test_an_endless_line_is_not_read_to_its_end(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"x" * (MAX_LINE_BYTES + 10))
    assert "Line 1 is longer than 16 MiB" in refuse(path).message


def test_rows_come_one_at_a_time(write_rows) -> None:
    rows = read_rows(write_rows({"a": 1}, "broken"), param="training_file")
    assert next(rows).value == {"a": 1}
    with pytest.raises(UserError):
        next(rows)
