"""Options of a command line that take several numbers at once."""


def spread(words: list[str], option: str) -> list[str]:
    """`words` with `option` before each of the numbers that follow it: `--w 1 -2 x` becomes `--w=1 --w=-2 x`."""
    found, after = [], False
    for word in words:
        if word == option:
            after = True
        elif after and _is_number(word):
            found.append(f"{option}={word}")
        else:
            after = False
            found.append(word)
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
