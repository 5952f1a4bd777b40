"""The stand-in of the Hub and the finished project, which the tests of publishing share with those of the client."""

from tests.builders.publish.conftest import _built, client, hub, publish, root, waits

__all__ = ["_built", "client", "hub", "publish", "root", "waits"]
