import re

import httpx2


async def test_the_page_asks_nobody_else_and_runs_no_inline_script(base_url: str) -> None:
    async with httpx2.AsyncClient(base_url=base_url, trust_env=False) as anonymous:
        page = await anonymous.get("/")
        assert page.status_code == 200
        assert (await anonymous.get("/finetune/ftjob-1")).text == page.text
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert all(part.startswith("/") for part in parts)
        for part in parts:
            found = await anonymous.get(part)
            assert found.status_code == 200
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", found.text)
        assert not re.search(r"<script(?![^>]*src)", page.text)
        assert " style=" not in page.text
