r"""MySQL's words, as its own scanner takes them with the sql_mode that gatepost sees to.

Texts are taken apart here, and not by the parser's own scanner, for what two scanners disagree on is an attack: where a
comment ends (`--x`, `/* /* */`), what a backslash does, which words a comment makes (`/*!`).

Source: MySQL 9 manual, "Language Structure".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from gatepost_sql.errors import NotUnderstood

MAX_BYTES: Final = 1 << 20
MAX_TOKENS: Final = 50_000
# Of brackets and operators before one value: the parser goes a level deeper with each.
MAX_DEPTH: Final = 100


class Kind(Enum):
    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    NUMBER = "number"
    VARIABLE = "variable"
    PARAMETER = "parameter"
    OPERATOR = "operator"


_KINDS: Final = {kind.value: kind for kind in Kind}


class Token(Struct, frozen=True):
    """A word of a text.

    Attributes:
        text: a WORD or an OPERATOR as it is written, a QUOTED name or a STRING without its quotes, a VARIABLE with
            what stands before its name.
    """

    kind: Kind
    text: str

    @property
    def word(self) -> str:
        """A WORD in lower case, else ""."""
        return self.text.lower() if self.kind is Kind.WORD else ""

    def is_operator(self, text: str) -> bool:
        return self.kind is Kind.OPERATOR and self.text == text

    def __repr__(self) -> str:
        return f"Token({self.kind.value})"


_END: Final = Token(Kind.OPERATOR, ";")
_CHARSETS: Final = "utf8mb4|utf8mb3|utf8|latin1|ascii|binary"
# Behind a fraction or an exponent a word may follow at once, as in `1e5FROM`; behind an integer it is one word.
_SCAN: Final = re.compile(
    rf"""[ \t\r\n\f\v]*(?:
    (?P<end>\Z)
    |(?P<comment>\#[^\n]*|--(?=[\x00-\x20]|\Z)[^\n]*|/\*(?:.*?\*/|.*\Z))
    |(?:[nN](?=')|_(?i:{_CHARSETS})[ ]*(?=['"]))?(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    |(?P<number>[xX]'[0-9A-Fa-f]*'|[bB]'[01]*'|0x[0-9A-Fa-f]+(?![\w$])|0b[01]+(?![\w$])
        |(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|[0-9]+(?![\w$]))
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<variable>@@(?:[A-Za-z_]+[.])?[A-Za-z0-9_$]+|@(?:[A-Za-z0-9_$.]+|`[^`]+`|'[^'\\]*'|"[^"\\]*"))
    |(?P<word>[A-Za-z0-9_$\u0080-\uffff]+)
    |(?P<parameter>\?)
    |(?P<operator>->>|->|<=>|<<|>>|<>|!=|<=|>=|:=|\|\||&&|[-+*/%=<>!~^&|.,;()])
    )""",
    re.VERBOSE | re.DOTALL,
)
# Characters that are the same letter here and for every server, in whatever case, as far as they have one.
_CASED: Final = re.compile(
    r"[\x00-\x7f\xc0-\xd6\xd8-\xf6\xf8-\u012f\u0132-\u017e\u0386-\u03a1\u03a4-\u03c1\u03c3-\u03ce\u0400-\u0481]"
)
_LAST_CHARACTER: Final = "\uffff"
_ESCAPE: Final = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_ESCAPES: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": r"\%", "_": r"\_"}
# What stands for each string in a plain text.
STRING: Final = "string_literal"
_EXECUTABLE: Final = ("/*!", "/*M!", "/*m!")
_HINT: Final = "/*+"
_PREFIXES: Final = frozenset(("-", "+", "~", "!"))
_PREFIX_WORDS: Final = frozenset(
    ("not", "binary", "case", "interval", "exists", "union", "except", "intersect", "select")
)


def scan(text: str) -> list[Token]:
    """The words of a text, comments left out. Raises NotUnderstood."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise NotUnderstood(f"the text is longer than {MAX_BYTES} bytes")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _SCAN.match(text, at)
        if match is None:
            raise NotUnderstood("the text holds a character that is not understood there")
        at = match.end()
        name = match.lastgroup or ""
        written = match[name]
        if name == "comment":
            _check_comment(written)
        elif name != "end":
            if name == "number" and written[0] == "." and tokens and tokens[-1].kind in (Kind.WORD, Kind.QUOTED):
                raise NotUnderstood("a name that begins with a digit needs quotes")
            if name == "string":
                written = _ESCAPE.sub(_unescaped, written[1:-1])
                if tokens and tokens[-1].word == "as":
                    name = "quoted"
            elif name == "quoted":
                written = written[1:-1].replace("``", "`")
            if name == "quoted" or (name == "word" and not written.isascii()):
                _check_name(written)
            tokens.append(Token(_KINDS[name], written))
            if len(tokens) > MAX_TOKENS:
                raise NotUnderstood(f"the text has more than {MAX_TOKENS} words")
    _check_depth(tokens)
    return tokens


def routine(name: str) -> str:
    """A routine's name, with or without its database's, in small letters: servers look routines up in any case.

    Raises NotUnderstood where they may take it for another: by a collation that looks at no accents.
    """
    database, dot, own = name.rpartition(".")
    if not own.isascii():
        raise NotUnderstood("a routine's name has letters that servers take for others")
    return database + dot + own.lower()


def _check_name(name: str) -> None:
    """A name must be the same as another here and for the server, which leaves out blanks that one begins with."""
    if not name or name[0] <= " " or name[0] == "\x7f":
        raise NotUnderstood("a name begins with a blank")
    if not name.isascii() and not all(map(_is_certain, name)):
        raise NotUnderstood("a name has letters that servers take for others")


def _is_certain(character: str) -> bool:
    if _CASED.match(character):
        return True
    return character <= _LAST_CHARACTER and character == character.lower() == character.upper() == character.casefold()


def _check_comment(comment: str) -> None:
    if comment.startswith(_EXECUTABLE):
        raise NotUnderstood("what an executable comment does depends on the server's version")
    if comment.startswith("/*") and (not comment.endswith("*/") or len(comment) < len("/**/")):
        raise NotUnderstood("a comment has no end")
    if comment.startswith(_HINT) and "set_var" in comment.lower():
        raise NotUnderstood("an optimizer hint sets a variable")


def _check_depth(tokens: Sequence[Token]) -> None:
    depth = run = 0
    for token in tokens:
        text = token.text
        if token.kind is Kind.OPERATOR:
            depth += (text == "(") - (text == ")")
            is_prefix = text in _PREFIXES
        else:
            is_prefix = token.kind is Kind.WORD and text.lower() in _PREFIX_WORDS
        run = run + 1 if is_prefix else 0
        if depth + run > MAX_DEPTH:
            raise NotUnderstood("the statement is nested too deeply")


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1]) if match[1] else match[0][0]


def statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The words of each statement, without what is between them."""
    start = 0
    for _ in range(tokens.count(_END)):
        end = tokens.index(_END, start)
        if end > start:
            yield tokens[start:end]
        start = end + 1
    if start < len(tokens):
        yield tokens[start:]


def form(tokens: Sequence[Token]) -> str:
    """The text without its literals: the same for texts that differ in these alone."""
    return " ".join(map(_form, tokens))


def _form(token: Token) -> str:
    kind, text = token.kind, token.text
    if kind is Kind.WORD or kind is Kind.OPERATOR or kind is Kind.VARIABLE:
        return text
    return _quoted(text) if kind is Kind.QUOTED else "?"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def plain_text(tokens: Sequence[Token]) -> str:
    """A text of the same form in which nothing is left to disagree on, for the parser."""
    return " ".join(map(_plain_token, tokens))


def _plain_token(token: Token) -> str:
    kind, text = token.kind, token.text
    if kind is Kind.WORD:
        return text if text.isascii() and not text[0].isdigit() else _quoted(text)
    if kind is Kind.OPERATOR or kind is Kind.PARAMETER:
        return text
    if kind is Kind.QUOTED:
        return _quoted(text)
    if kind is Kind.VARIABLE:
        return "@@v" if text.startswith("@@") else "@v"
    return "1" if kind is Kind.NUMBER else f"'{STRING}'"
