from sycoca.data.selection import select

LETTERS = list("abcdefghijklmnopqrstuvwxyz")


def test_without_a_limit_everything_is_taken():
    assert select(LETTERS, None, 3) == LETTERS
    assert select(LETTERS, 26, 3) == LETTERS
    assert select(LETTERS, 99, None) == LETTERS


def test_without_a_seed_the_first_are_taken():
    assert select(LETTERS, 3, None) == ["a", "b", "c"]


def test_a_seed_takes_others_in_their_order():
    choices = [select(LETTERS, 5, seed) for seed in range(20)]
    assert all(choice == sorted(choice) and len(set(choice)) == 5 for choice in choices)
    assert select(LETTERS, 5, 0) == choices[0]
    assert {letter for choice in choices for letter in choice} == set(LETTERS)
