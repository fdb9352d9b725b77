"""What a person sees on the page, by the names that the front end gives to its parts."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

SECONDS = 1_000  # of Playwright's milliseconds
MOST_ROWS = 100  # of a log in the document: what is in sight, and a few beside


def part(page: Page, name: str) -> Locator:
    """A part of the page by its test id."""
    return page.get_by_test_id(name)


def expect_state(page: Page, state: str, seconds: float = 20) -> None:
    """The head of the task shows a state."""
    mark = page.locator(f".sm-header [data-state={state}]")
    expect(mark).to_be_visible(timeout=seconds * SECONDS)


def press(page: Page, command: str) -> None:
    """Press one of the task's buttons."""
    part(page, f"command-{command}").click()


def record(page: Page, parts: dict[str, str]) -> None:
    """From now on note the state, and a property of each of ``parts``, whenever the page changes."""
    page.evaluate(
        """(parts) => {
            window.looks = [];
            const look = () => {
                const mark = document.querySelector('.sm-header [data-state]');
                const now = { state: mark?.dataset.state };
                for (const [name, property] of Object.entries(parts)) {
                    const part = document.querySelector(`[data-testid="${name}"]`);
                    now[name] = part ? part[property] : null;
                }
                window.looks.push(now);
            };
            new MutationObserver(look).observe(document.body, {
                subtree: true, childList: true, characterData: true, attributes: true,
            });
        }""",
        parts,
    )


def recorded(page: Page) -> list[dict[str, Any]]:
    """What was noted since ``record``, in order."""
    found: list[dict[str, Any]] = page.evaluate("window.looks")
    return found


def number(text: str) -> float:
    """The number that a text begins with, as in "63 %" or "1,540 rows"."""
    digits = text.strip().split(" ")[0].replace(",", "").replace("~", "")
    return float(digits)


def log_lines(page: Page) -> list[int]:
    """The positions of the log's lines that are on the screen, in their order there."""
    found: list[int] = page.evaluate(
        """() => [...document.querySelectorAll('.sm-log-row')]
            .sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top))
            .map((row) => Number(row.dataset.testid.slice('log-'.length)))"""
    )
    return found


def drop_bar(log: Locator, share: float) -> None:
    """Drop the log's scroll bar where so much of the log is above."""
    log.evaluate(
        "(box, share) => { box.scrollTop = share * (box.scrollHeight - box.clientHeight); }", share
    )


def rows_while_dragged(log: Locator) -> int:
    """The most rows that the document holds while a log's scroll bar is dragged to the top."""
    most: int = log.evaluate(
        """async (box) => {
            const frame = () => new Promise(requestAnimationFrame);
            const long = box.scrollHeight - box.clientHeight;
            let most = 0;
            for (let step = 60; step >= 0; step -= 1) {
                box.scrollTop = long * step / 60;
                await frame();
                most = Math.max(most, box.querySelectorAll('.sm-log-row, .sm-log-gap').length);
            }
            return most;
        }"""
    )
    return most


def whole_log(page: Page) -> list[int]:
    """All lines of the log: its box is scrolled from the top to the bottom."""
    found: list[int] = page.evaluate(
        """async () => {
            const box = document.querySelector('[data-testid=log]');
            const seen = [];
            const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
            for (let top = 0; ; top += box.clientHeight) {
                box.scrollTop = top;
                do { await frame(); await frame(); } while (box.querySelector('.sm-log-gap'));
                const rows = [...box.querySelectorAll('.sm-log-row')]
                    .sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top))
                    .map((row) => [parseFloat(row.style.top), Number(row.dataset.testid.slice(4))]);
                for (const row of rows) if (!seen.some(([at]) => at === row[0])) seen.push(row);
                if (top + box.clientHeight >= box.scrollHeight) break;
            }
            return seen.sort((a, b) => a[0] - b[0]).map(([, seq]) => seq);
        }"""
    )
    return found


def overflows(page: Page) -> dict[str, Any] | None:
    """What makes the page wider than its window; None where nothing does."""
    found: dict[str, Any] | None = page.evaluate(
        """() => {
            const root = document.documentElement;
            return root.scrollWidth > root.clientWidth
                ? { content: root.scrollWidth, window: root.clientWidth } : null;
        }"""
    )
    return found


def sticks_out(box: Locator, content: Locator) -> float:
    """By how many pixels something is drawn outside of a box that should hold it."""
    outer, inner = box.bounding_box(), content.bounding_box()
    assert outer is not None
    assert inner is not None
    below = inner["y"] + inner["height"] - outer["y"] - outer["height"]
    right = inner["x"] + inner["width"] - outer["x"] - outer["width"]
    return max(0.0, below, right, outer["y"] - inner["y"], outer["x"] - inner["x"])


def is_cut(text: Locator) -> bool:
    """Whether a text ends in an ellipsis for lack of room."""
    found: bool = text.evaluate("element => element.scrollWidth > element.clientWidth")
    return found


def lines(text: Locator) -> int:
    """How many lines a text takes."""
    found: int = text.evaluate(
        """element => {
            const range = document.createRange();
            range.selectNodeContents(element);
            return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
        }"""
    )
    return found
