"""A second implementation of docs/wire-format.md, on aioquic, pqcrypto and cryptography.

It shares no code with the engine or the rest of STOQ: it was written from the document, so that the
two test each other and the document. It is slow, keeps no limits of a product and is no part of the
mesh; tests and probes use it.

    identity = Identity(leaf, ed25519_seed, falcon_private_key)
    policy = Policy(Roots.of("test.example", [root]), expected="spiffe://test.example/ns/a/sa/b")
    async with connect("::1", 14012, Endpoint(policy, identity)) as peer:
        stream = peer.open(Kind.API)
"""
