"""The page about the API is the one that the docstrings make."""

from tests.support.api_page import PAGE, page


def test_page_is_up_to_date() -> None:
    hint = "run .venv/bin/python -m tests.support.api_page"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


def test_page_has_what_tests_use() -> None:
    text = page()
    for part in ("`kernel`: Kernel", "`shared_kernel`", "`boot`", "`image`", "@pytest.mark.one_machine"):
        assert part in text, part
    for method in ("request(", "alloc(", "slots(", "get_refcount(", "expect_panic("):
        assert f"### `{method}" in text, method
