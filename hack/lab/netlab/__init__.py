"""hack/netlab: two network namespaces with a path between them that is as bad as one asks for."""
