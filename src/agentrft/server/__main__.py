"""`python -m agentrft.server`: one server, set up by AGENTRFT_* variables."""

import uvicorn

from agentrft.server.app import create_app
from agentrft.store import Settings


def main() -> None:
    settings = Settings()
    app = create_app(settings)
    uvicorn.run(app, host=settings.host, port=settings.port, ws="none", access_log=False)


if __name__ == "__main__":
    main()
