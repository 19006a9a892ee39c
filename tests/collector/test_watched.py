"""Files that a running collector reads again."""

from pathlib import Path
from threading import Event, Thread

from celeryscope_collector.watched import WatchedFile


def test_a_slow_reader_of_an_earlier_state_does_not_have_the_last_word(tmp_path: Path) -> None:
    file, reads, may_end = tmp_path / "file", Event(), Event()
    file.write_text("first")

    def read(path: Path) -> str:
        text = path.read_text()
        if text == "earlier":
            reads.set()
            may_end.wait(10)
        return text

    watched = WatchedFile(file, read)
    file.write_text("earlier")
    slow = Thread(target=lambda: watched.content)
    slow.start()
    reads.wait(10)
    file.write_text("the last")
    quick = Thread(target=lambda: watched.content)
    quick.start()
    # Long enough for a quick reader that nothing keeps from reading.
    quick.join(0.5)
    may_end.set()
    slow.join()
    quick.join()
    assert watched.content == "the last"
