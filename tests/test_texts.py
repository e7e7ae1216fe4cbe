import pytest

from sycoca.texts import decoded, normal_form, read_utf8


def test_two_spellings_of_a_letter_have_one_normal_form():
    assert normal_form("cafe\u0301") == normal_form("caf\u00e9") == "caf\u00e9"
    assert normal_form("plain") == "plain"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ntwo caf\xe9\n", r"f.txt, line 2 is not UTF-8 \(byte 8 of the line\); save the file as UTF-8"),
        (b"\xe9", r"f.txt, line 1 is not UTF-8 \(byte 1 of the line\)"),
        ("cat\n".encode("utf-16"), "f.txt is UTF-16; save it as UTF-8"),
        ("a\ncat\n".encode("utf-16-le"), "f.txt, line 1 holds a NUL: it is no text, or UTF-16; save it as UTF-8"),
    ],
)
def test_what_is_not_utf_8_is_refused_with_line_and_byte(tmp_path, data, message):
    (tmp_path / "f.txt").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_utf8(tmp_path / "f.txt")


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "f.txt").write_bytes("\ufeffcaf\u00e9".encode())
    assert read_utf8(tmp_path / "f.txt") == "caf\u00e9"


def test_lines_are_counted_from_a_number(tmp_path):
    with pytest.raises(ValueError, match=r"x, line 8 is not UTF-8 \(byte 3 of the line\)"):
        decoded(b"ab\xff\n", tmp_path / "x", first_line=8)
