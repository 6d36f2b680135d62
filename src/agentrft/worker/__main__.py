"""`python -m agentrft.worker`: run one worker on this machine's device."""

from agentrft.worker.device import prepare_process

if __name__ == "__main__":
    prepare_process()  # before torch is imported

    import asyncio
    import logging

    from agentrft.store import Settings
    from agentrft.worker.device import prepare_torch
    from agentrft.worker.service import run_worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    prepare_torch()
    asyncio.run(run_worker(Settings()))
