import subprocess
import sys

HEAVY = ("torch", "transformers", "agentrft.server", "agentrft.worker", "agentrft.engine")


def test_the_command_line_loads_no_model_library_and_no_server() -> None:
    code = f"import sys, agentrft.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
