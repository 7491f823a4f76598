"""How a request is put to a model: the same in training, in the exam, and where people ask."""


def as_prompt(template: str, request: str, board: str) -> str:
    """`template` with {request} in one line, since a comment ends where its line does, and {board} by the board's title."""
    return template.replace("{board}", board).replace("{request}", " ".join(request.split()))
