"""A server of reward models on a socket of this computer, in a thread."""

import threading
import time
from contextlib import contextmanager


@contextmanager
def listening(app, port=0):
    """Run an application on a socket of this computer; the value is its address."""
    import uvicorn

    from rlhf_losses.serving.server_process import bind, uvicorn_config
    from rlhf_losses.serving.server_settings import ServerSettings

    listener = bind("127.0.0.1", port)
    server = uvicorn.Server(uvicorn_config(app, ServerSettings(drain_timeout=5)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
