"""A whole control process in the test's own event loop, and workloads that talk to it."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from yaml import safe_dump

from lab.ports import free_port
from stoq.api.client import ApiClient
from stoq.api.stream import Opened
from stoq.constants import operator_spiffe_id
from stoq.engine import Engine, HybridKey, TlsContext
from stoq.pem import certificates
from stoq.records.manifest import encode
from stoq.signing import BINDING_LABEL, SIGN, SignRequest, SignResponse, binding
from stoq_operator import join
from stoq_operator.onfiles import serve
from stoq_operator.settings import read
from support.engines import client_settings
from support.pages import page
from support.patience import PATIENCE
from support.records import TRUST_DOMAIN, mesh

OPERATOR = operator_spiffe_id(TRUST_DOMAIN)


async def eventually(ask) -> None:
    """Waits until `await ask()` is true."""
    async with asyncio.timeout(PATIENCE):
        while not await ask():  # noqa: ASYNC110 - what is asked lies outside this process
            await asyncio.sleep(0.05)


@dataclass
class Member:
    """A workload as its sidecar would act."""

    engine: Engine
    tls: TlsContext
    address: str
    key: HybridKey | None = None
    operator: str = OPERATOR

    def client(self) -> ApiClient:
        return ApiClient(self.engine.dialler(self.address, self.operator))

    async def sign(self, token: str, **claims: str) -> SignResponse:
        """Asks for a certificate over a connection of its own choice and returns it unused."""
        stream = await self.engine.dialler(self.address, self.operator).open()
        self.key = HybridKey.generate()
        request = SignRequest(
            csr=self.key.csr(),
            token=token,
            binding=binding(token, stream.exporter(BINDING_LABEL)),
            **claims,
        )
        return await ApiClient(Opened(stream)).call(SIGN, request)

    async def join(self, token: str) -> SignResponse:
        """Gets a certificate and uses it from now on."""
        answer = await self.sign(token)
        assert self.key is not None
        self.tls.set_identity(self.key, answer.certificate)
        return answer


@dataclass
class Control:
    """A control process on files below `folder`."""

    folder: Path
    port: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def address(self) -> str:
        return f"[::1]:{self.port}"

    @property
    def flags(self) -> dict[str, str]:
        return {
            "store": str(self.store),
            "state": str(self.folder / "state"),
            "bundle": str(self.folder / "bundle.pem"),
            "listen": self.address,
            "metrics": f"[::1]:{self.metrics}",
        }

    def write(self, *records, name=None):
        for item in records:
            path = self.store / f"{name or item.KIND.lower() + '-' + item.metadata.name}.yaml"
            fresh = path.with_suffix(".new")
            fresh.write_text(safe_dump(encode(item)))
            fresh.replace(path)

    def token(self, name, address="fd00::2") -> str:
        return join.issue(
            self.store,
            "shop",
            name,
            addresses=[address],
            service_account=name,
            netns="",
            output=None,
        )

    async def get(self, path: str) -> tuple[int, str]:
        answer = await page(self.metrics, path)
        return int(answer.split()[0]), answer.partition("\r\n\r\n")[2]

    async def metric(self, name: str) -> float:
        _, text = await self.get("/metrics")
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    @asynccontextmanager
    async def running(self):
        """The process, from ready to stopped; one that was told to stop has its end first."""
        if self.task is not None:
            await asyncio.wait([self.task])
        self.stop = asyncio.Event()
        task = self.task = asyncio.create_task(serve(read("", {}, self.flags), self.stop))
        try:
            async with asyncio.timeout(PATIENCE):
                while not task.done():
                    try:
                        if (await self.get("/healthz"))[0] == 200:
                            break
                    except OSError:
                        await asyncio.sleep(0.02)
            if task.done():
                task.result()
            yield self
        finally:
            self.stop.set()
            await task

    @asynccontextmanager
    async def member(self):
        """A sidecar's engine that trusts the bundle and has no identity yet."""
        tls = TlsContext(accept_other_degree=True)
        tls.set_trust(TRUST_DOMAIN, list(certificates((self.folder / "bundle.pem").read_text())))
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(Engine(client_settings(), tls))
            yield Member(engine, tls, self.address)


def control(folder: Path, **spec) -> Control:
    made = Control(folder)
    made.store.mkdir()
    made.write(mesh(**spec))
    return made
