"""The annotator's desk, a gradio app at `/desk`: the guidelines, and one's own votes. Nobody else's."""

import os
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import FastAPI, Request

from mma_bench.builders.review.accounts import Annotator
from mma_bench.builders.review.gate import DESK, MAX_BODY
from mma_bench.builders.review.guidelines import CRITERIA, VERDICT, VERSION
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import own_votes

COLUMNS: Final = ("When (UTC)", "Class", "Visible", "Pure", "Dynamic", "Verdict", "Note")


def own_table(store: Store, annotator: Annotator) -> list[list[str]]:
    """The annotator's own votes, the latest first; cells as COLUMNS."""
    with store.reading() as connection:
        votes = own_votes(connection, annotator.id)
    return [
        [
            datetime.fromtimestamp(vote.at, UTC).strftime("%Y-%m-%d %H:%M"),
            vote.class_name.replace("_", " "),
            *("yes" if answer else "no" for answer in (vote.object_visible, vote.audio_pure, vote.action_dynamic)),
            "pass" if vote.passed else "fail",
            vote.note,
        ]
        for vote in reversed(votes)
    ]


def guidelines_text() -> str:
    """The guidelines as Markdown."""
    parts = [
        f"### {number}. {criterion.title}\n\n*{criterion.question.format(name='the class that is named')}*\n\n"
        f"{criterion.rule}\n\n"
        f"- **Yes:** {criterion.passes}\n- **No:** {criterion.fails}"
        for number, criterion in enumerate(CRITERIA, 1)
    ]
    return "\n\n".join([*parts, f"**{VERDICT}**", f"Version of this text: `{VERSION}`"])


def mount(app: FastAPI, store: Store) -> FastAPI:
    """Add the desk to the app, behind the same gate as everything else."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: gradio asks its version server otherwise
    import gradio as gr

    def own(request: gr.Request) -> list[list[str]]:
        return own_table(store, _of(request.request))

    with gr.Blocks(title="Desk · mma-bench", analytics_enabled=False) as blocks:
        gr.Markdown(f"# Your desk\n\n[Back to the clips](/)\n\n## Guidelines\n\n{guidelines_text()}\n\n## Your votes")
        table = gr.Dataframe(headers=list(COLUMNS), datatype="str", interactive=False, wrap=True, label="Latest first")
        blocks.load(own, None, table, api_visibility="private")

    mounted: FastAPI = gr.mount_gradio_app(
        app,
        blocks,
        DESK,
        footer_links=[],
        auth_dependency=lambda request: _of(request).code,
        allowed_paths=[],
        max_file_size=MAX_BODY,
        ssr_mode=False,
        enable_monitoring=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    return mounted


def _of(request: Request | Any) -> Annotator:
    """Whom the gate let in."""
    annotator: Annotator = request.scope["annotator"]
    return annotator
