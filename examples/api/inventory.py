"""What server and client share: the messages and the methods."""

import msgspec

from stoq.api.method import Bidirectional, ClientStream, ServerStream, Unary


class Query(msgspec.Struct):
    """Asks for one item."""

    name: str


class Item(msgspec.Struct):
    """So many of something."""

    name: str
    count: int


class Stored(msgspec.Struct):
    """How many items were stored."""

    items: int


GET = Unary("inventory.v1/Get", Query, Item)
LIST = ServerStream("inventory.v1/List", Query, Item)
STORE = ClientStream("inventory.v1/Store", Item, Stored)
ASK = Bidirectional("inventory.v1/Ask", Query, Item)
