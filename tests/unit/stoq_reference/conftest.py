from support.interop_fixtures import ca, client, engine

__all__ = ["ca", "client", "engine"]
