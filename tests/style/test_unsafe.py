"""Every unsafe block of the shim proves itself where it stands, every unsafe function says what it asks for.

Clippy says so, too, where it is installed; Debian has none. Clippy does not count: each
obligation of a function is a bullet, and its caller answers each by a sentence or a bullet of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest

from tests.style.test_shim_modules import SHIM, texts_of
from tests.support.each import each

TEXTS = texts_of(SHIM)
_USE = re.compile(r"\bunsafe (?:\{|impl\b)")
_FUNCTION = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))? )?(?:unsafe (?:extern \"C\" )?fn (\w+)|unsafe trait (\w+)"
    r"|type (\w+) = unsafe |(?<=pub )(\w+): unsafe fn\()"
)
"""A function, a trait, a type of functions, a field that holds a function."""
_IMPORTED = re.compile(r"^    (?:pub )?fn (\w+)\(")
"""A function of a block `unsafe extern`, unless it is said to be safe."""
_METHOD = re.compile(r"\bfn \w+(?:<[^>]*>)?\(\s*&?(?:mut )?self\b")
_CALL = re.compile(r"(\.)?(?:(\w+)::)?\b(\w+)(?:::<[^()]*>)?(\))?\(")
_SENTENCE = re.compile(r"\.(?=\s+[A-Z`\[]|\s*$)")
_VAGUE = re.compile(r"SAFETY: as above[.,]|\bwe (?:know|assume)\b|SAFETY: the caller's promise\.")
_BETWEEN = re.compile(r"\s*(?:#\[|//|$)")
"""What may stand between the words and the line that they are about: attributes, further words."""


def unproved(text: str) -> Iterator[str]:
    """The lines with an unsafe block or implementation without words of its own ahead of it."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        code = line.partition("//")[0]
        if _USE.search(code):
            ahead = "\n".join(_words_ahead(lines, at))
            if "SAFETY:" not in ahead or _VAGUE.search(ahead):
                yield f"{at + 1}: {line.strip()}"


def undocumented(text: str) -> Iterator[str]:
    """The lines with an unsafe function that does not say what its caller promises."""
    lines = text.splitlines()
    for at, _ in _declarations(lines):
        if "# Safety" not in "\n".join(_words_ahead(lines, at)):
            yield f"{at + 1}: {lines[at].strip()}"


def _declarations(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines that declare an unsafe function or trait, each with its name."""
    imports = False
    for at, line in enumerate(lines):
        imports = line.startswith("unsafe extern") or (imports and line != "}")
        found = _FUNCTION.match(line) or (imports and _IMPORTED.match(line))
        if found:
            yield at, next(name for name in found.groups() if name)


class Asking(NamedTuple):
    """An unsafe function of ours.

    Attributes:
        owners: what stands before `::` in a call of it: its module, the type that it is a function of.
        obligations: those of its `# Safety` section, without the words behind an empty line.
    """

    file: str
    name: str
    owners: frozenset[str]
    is_method: bool
    obligations: list[str]


def asking(file: str, text: str) -> Iterator[Asking]:
    lines = text.splitlines()
    for at, name in _declarations(lines):
        above = next((line for line in reversed(lines[:at]) if line.startswith(("impl", "}"))), "")
        implemented = re.match(r"impl(?:<.*?>)? (\w+)", above)
        owners = {PurePosixPath(file).stem, *([implemented[1]] if implemented else [])}
        value = ": unsafe fn" in lines[at]
        called = re.sub(
            r"(?<!^)(?=[A-Z])", "_", name
        ).lower()  # a value of the type of functions `DoIt` is `do_it`
        is_method = value or bool(_METHOD.search(lines[at]))
        yield Asking(file, called, frozenset(owners), is_method, obligations(_words_ahead(lines, at)))


def obligations(words: list[str]) -> list[str]:
    """The bullets of a `# Safety` section, else its sentences."""
    comments = [line.strip().removeprefix("///").strip() for line in words if line.strip().startswith("///")]
    section = comments[comments.index("# Safety") + 1 :] if "# Safety" in comments else []
    end = next((at for at, line in enumerate(section) if not line or line.startswith("# ")), len(section))
    told = " ".join(section[:end])
    if told.startswith("* "):
        return told.removeprefix("* ").split(" * ")
    return [part.strip() for part in _SENTENCE.split(told) if part.strip()]


def unlisted(text: str) -> Iterator[str]:
    """Unsafe functions that ask for several things in prose.

    Prose is one sentence, without `and` and without a semicolon; whatever asks for more is a list.
    """
    lines = text.splitlines()
    for at, name in _declarations(lines):
        words = _words_ahead(lines, at)
        found = obligations(words)
        in_prose = not any(line.strip().startswith("/// * ") for line in words)
        if in_prose and (len(found) > 1 or any(re.search(r"\band\b|;", one) for one in found)):
            yield f"{at + 1}: {name}"


def unanswered(file: str, text: str, ours: list[Asking]) -> Iterator[str]:
    """Calls of our unsafe functions whose proof has fewer sentences or bullets than they have obligations."""
    for line, called, answers in calls(file, text, ours):
        if answers < len(called.obligations):
            yield f"{line}: {called.name} asks for {len(called.obligations)}, answered {answers}"


def calls(file: str, text: str, ours: list[Asking]) -> Iterator[tuple[int, Asking, int]]:
    """Calls of our unsafe functions: the line, the function, the number of answers in the proof above."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        for block in re.finditer(r"\bunsafe \{", line.partition("//")[0]):
            code = _inside("\n".join([line[block.end() :], *lines[at + 1 :]]))
            for called in (
                one for one in ours if any(_is_call(call, file, one) for call in _CALL.finditer(code))
            ):
                yield at + 1, called, _answers(_words_ahead(lines, at))


def _inside(code: str) -> str:
    """What stands before the brace that closes a block."""
    depth = 1
    for at, character in enumerate(code):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return code[:at]
    return code


def _is_call(call: re.Match[str], file: str, one: Asking) -> bool:
    dot, owner, name, _ = call.groups()
    if name != one.name:
        return False
    if dot:
        return one.is_method
    return owner in one.owners if owner else file == one.file and not one.is_method


def _answers(words: list[str]) -> int:
    """The sentences of a proof, or its bullets, if these are more."""
    first = max(at for at, line in enumerate(words) if "SAFETY:" in line)
    comment = list[str]()
    for line in words[first:]:
        if not line.strip().startswith("//"):
            break
        comment.append(line.strip().removeprefix("//").strip())
    bullets = sum(line.startswith("* ") for line in comment)
    return max(len(_SENTENCE.findall(" ".join(comment))), bullets)


def ours_of(texts: Mapping[str, str]) -> list[Asking]:
    return [one for name, text in texts.items() for one in asking(name, text)]


def _words_ahead(lines: list[str], at: int) -> list[str]:
    """The comments and attributes ahead of the statement that a line belongs to."""
    start = at
    while start and not _ends_a_statement(lines[start - 1]):
        start -= 1
    first = start
    while first and lines[first - 1].strip() and _BETWEEN.match(lines[first - 1]):
        first -= 1
    return lines[first : at + 1]


def _ends_a_statement(line: str) -> bool:
    code = line.strip()
    return not code or code.startswith(("//", "#[")) or code.endswith((";", "{", "}", ","))


@each(TEXTS)
def test_unsafe_code_is_proved_where_it_stands(name: str) -> None:
    assert list(unproved(TEXTS[name])) == []


@each(TEXTS)
def test_unsafe_functions_say_what_they_ask_for(name: str) -> None:
    implemented = {"    unsafe fn alloc(", "    unsafe fn dealloc("}  # `GlobalAlloc` says it
    missing = [
        one for one in undocumented(TEXTS[name]) if not any(each.strip() in one for each in implemented)
    ]
    assert missing == []


@each(TEXTS)
def test_an_unsafe_function_that_asks_for_several_things_has_a_list(name: str) -> None:
    assert list(unlisted(TEXTS[name])) == []


@each(TEXTS)
def test_a_call_of_our_unsafe_function_answers_each_obligation(name: str) -> None:
    assert list(unanswered(name, TEXTS[name], ours_of(TEXTS))) == []


def test_every_unsafe_function_of_ours_is_seen_where_it_is_called() -> None:
    ours = ours_of(TEXTS)
    seen = {(one.file, one.name) for name, text in TEXTS.items() for _, one, _ in calls(name, text, ours)}
    unseen = {(one.file, one.name) for one in ours} - seen
    implemented = {("src/heap.rs", "alloc"), ("src/heap.rs", "dealloc")}
    compiled_for_the_host = {("src/codegen/evidence.rs", "codegen_optimization")}
    # A name that several files re-export is called through a value of a type of functions.
    through_a_value = {("src/memory/start.rs", "after_panic_of"), ("src/tree/mod.rs", "after_panic_of")}
    assert unseen == implemented | compiled_for_the_host | through_a_value


@pytest.mark.parametrize(
    "text",
    [
        "    let a = 1;\n    unsafe { f() };\n",
        "    // SAFETY: as above.\n    unsafe { f() };\n",
        "    // SAFETY: we know that it is mapped.\n    unsafe { f() };\n",
        "    // SAFETY: it is mapped.\n    let a = 1;\n    unsafe { f() };\n",
        "// It is safe.\nunsafe impl Sync for A {}\n",
    ],
)
def test_unsafe_code_without_words_is_seen(text: str) -> None:
    assert len(list(unproved(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "    // SAFETY: it is mapped.\n    unsafe { f() };\n",
        "    // SAFETY: it is mapped,\n    // and nobody's.\n    let a =\n        unsafe { f() };\n",
    ],
)
def test_unsafe_code_with_words_is_none(text: str) -> None:
    assert list(unproved(text)) == []


def test_an_unsafe_function_without_words_is_seen() -> None:
    assert len(list(undocumented("/// Does it.\npub unsafe fn f() {\n"))) == 1
    assert list(undocumented("/// # Safety\n/// It is mapped.\npub unsafe fn f() {\n")) == []
    assert len(list(undocumented('unsafe extern "C" {\n    fn f(a: u64);\n    pub safe fn g();\n}\n'))) == 1
    assert len(list(undocumented("pub type Act = unsafe fn(usize);\n"))) == 1


_TWO = (
    "/// # Safety\n/// * It is mapped.\n/// * Nobody\n///   writes it.\n///\n/// Else it is torn. Or lost.\n"
)


@pytest.mark.parametrize(
    ("section", "is_accepted"),
    [
        (_TWO, True),
        ("/// # Safety\n/// It is mapped.\n", True),
        ("/// # Safety\n/// It is mapped.\n///\n/// Else it faults; and that ends the guest.\n", True),
        ("/// # Safety\n/// It is mapped. Nobody writes it.\n", False),
        ("/// # Safety\n/// It is mapped and\n/// aligned.\n", False),
        ("/// # Safety\n/// It is mapped; nobody writes it.\n", False),
    ],
)
def test_several_obligations_are_a_list(section: str, is_accepted: bool) -> None:
    assert (list(unlisted(f"{section}pub unsafe fn f() {{\n")) == []) == is_accepted


@pytest.mark.parametrize(
    ("proof", "is_accepted"),
    [
        ("// SAFETY: boot.s maps it. `g` alone writes it.", True),
        ("// SAFETY: it holds, since\n    // * boot.s maps it,\n    // * `g` alone writes it.", True),
        ("// SAFETY: boot.s maps it (SDM vol. 3A, 4.5), and `g` alone writes it.", False),
    ],
)
@pytest.mark.parametrize("call", ["a::f(1)", "A::f(1)"])
def test_a_proof_answers_each_obligation(proof: str, call: str, is_accepted: bool) -> None:
    ours = list(asking("src/a.rs", f"impl<T> A<T> {{\n{_TWO}pub unsafe fn f(a: u8) {{\n"))
    text = f"fn g() {{\n    {proof}\n    let x = unsafe {{ {call} }};\n}}\n"
    assert (list(unanswered("src/b.rs", text, ours)) == []) == is_accepted


@pytest.mark.parametrize(
    ("declared", "call"),
    [
        (f"{_TWO}pub unsafe fn f(&self) {{\n", "x.f()"),
        (f"{_TWO}    pub f: unsafe fn(usize),\n", "(x.f)(1)"),
        (f"{_TWO}pub type F = unsafe fn(usize);\n", "f(1)"),
        (f'unsafe extern "C" {{\n{_TWO}    fn f(a: u8);\n}}\n', "f(1)"),
    ],
)
def test_a_call_is_seen_in_each_of_its_forms(declared: str, call: str) -> None:
    text = f"{declared}\nfn g() {{\n    // SAFETY: it holds.\n    unsafe {{ {call} }};\n}}\n"
    assert len(list(unanswered("src/a.rs", text, list(asking("src/a.rs", declared))))) == 1
    assert list(unanswered("src/b.rs", text.replace(call, "h(1)"), list(asking("src/a.rs", declared)))) == []
