"""The process that a probe starts: reads a question, asks the database, writes the answer."""

from __future__ import annotations

import sys

import msgspec

from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.services.probe import Answer, Question
from syncmon_ext.sync import jobs


def answer(question: Question) -> Answer:
    """The answer to ``question``; an error of ours becomes part of it."""
    try:
        result = _result(question)
    except SyncmonError as error:
        return Answer(error=(type(error).__name__, error.message, error.hint))
    return Answer(result=msgspec.Raw(msgspec.json.encode(result)))


def _result(question: Question) -> object:
    if question.call == "plan" and question.spec is not None and question.target is not None:
        return jobs.plan(question.task_id, question.spec, question.source, question.target)
    if question.call == "rejects":
        return jobs.rejects(question.source, question.store_id, question.task_id, question.limit)
    if question.call == "replay" and question.target is not None:
        return jobs.replay(
            question.source,
            question.target,
            question.store_id,
            question.task_id,
            question.units,
            question.seconds,
        )
    return jobs.test_connection(question.source)


def main() -> None:
    """Answer one question on standard input and output."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))


if __name__ == "__main__":
    main()
