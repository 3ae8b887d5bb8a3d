"""Formula neutralisation (CSV injection): no text of a file that Signoff writes is run by a spreadsheet.

A spreadsheet takes a text for a formula that begins with =, +, - or @, also in their full-width forms and behind white
space. Such a text gets an apostrophe in front. Numbers stay as they are, also where they are written as text.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.validation.columns import Arrow, Mask
from pipeline.validation.values import NUMBER

FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
# Arrow's regular expressions know other white space than Python's: what they find is looked at once more.
FORMULA_IN_ARROW = "^[\\pZ\\pC]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]"
# First bytes of texts that may be a formula; any other first byte begins none.
FIRST_BYTES = np.zeros(256, dtype=bool)
FIRST_BYTES[[*range(33), *b"=+-@\x7f", *range(128, 256)]] = True
# An empty value at the end of a line of a file begins with the line feed, and is no formula.
FIRST_BYTES_IN_FILE = FIRST_BYTES.copy()
FIRST_BYTES_IN_FILE[ord("\n")] = False


def neutral(value: object) -> object:
    """The value, with an apostrophe in front where it is text that a spreadsheet would run."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def neutral_texts(texts: Arrow) -> Arrow:
    """As `neutral`, of an array of text without nulls; only texts with such a first byte are checked one by one."""
    data, offsets = text_buffers(texts)
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    maybe = filled[FIRST_BYTES[data[offsets[filled]]]]
    if not len(maybe):
        return texts
    some = texts.take(pa.array(maybe))
    found = np.asarray(pc.match_substring_regex(some, FORMULA_IN_ARROW).to_numpy(zero_copy_only=False))
    if not found.any():
        return texts
    values = texts.take(pa.array(maybe[found])).to_pylist()
    mask = np.zeros(len(texts), dtype=bool)
    mask[maybe[found]] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array([neutral(each) for each in values], type=pa.string()))


def may_hold_formula(first_bytes: Mask) -> bool:
    """Whether one of the values of a text file may be a formula, by the bytes with which they begin."""
    return bool(FIRST_BYTES_IN_FILE[first_bytes].any())


def text_buffers(texts: Arrow) -> tuple[Mask, Mask]:
    """The bytes of all texts of an array, and the offset at which each begins."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    return np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), offsets
