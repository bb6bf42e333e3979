"""`create_app`: the ASGI application with the dialects, the pages about the server and the guard."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from rlhf_losses.scoring import Scorer
from rlhf_losses.serving.dialects import ROUTERS
from rlhf_losses.serving.error_answers import answer_errors
from rlhf_losses.serving.request_guard import RequestGuard
from rlhf_losses.serving.served_model import ServedModel
from rlhf_losses.serving.server_metrics import ServerMetrics
from rlhf_losses.serving.server_pages import router as pages
from rlhf_losses.serving.server_settings import ServerSettings

DESCRIPTION = """\
Scores of reward models, in the dialects of RL systems and inference engines. Each path also exists below
`/models/NAME`, which selects one of several models."""


def create_app(scorers: Sequence[tuple[str, Scorer]], settings: ServerSettings) -> FastAPI:
    """Return the application that serves reward models.

    Args:
        scorers: names and reward models.
        settings: access and limits.
    """
    metrics = ServerMetrics()
    models = {name: ServedModel(name, scorer, settings, metrics.of(name)) for name, scorer in scorers}

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for model in models.values():
                await stack.enter_async_context(model.running())
            yield

    # Its OpenAPI page loads nothing from other hosts.
    app = FastAPIOffline(
        title="rlhf-losses serve",
        version=version("rlhf-losses"),
        description=DESCRIPTION,
        lifespan=running,
        redoc_url=None,
    )
    app.state.models, app.state.metrics, app.state.settings = models, metrics, settings
    app.include_router(pages)
    for router in ROUTERS:
        app.include_router(router)
    for router in ROUTERS:
        app.include_router(router, prefix="/models/{served_name}", include_in_schema=False)
    answer_errors(app)
    app.add_middleware(RequestGuard, settings=settings, observe=metrics.answered)
    return app
