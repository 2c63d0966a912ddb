// wireguard-go, the peer of captured UDP in hack/bench: the program as its makers have it. Libraries that
// it shares with hack/kube have the versions of there, so that they are fetched once.
module stoq.dev/wireguard-go

go 1.26.8

tool golang.zx2c4.com/wireguard

require (
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.zx2c4.com/wintun v0.0.0-20230126152724-0fa3db229ce2 // indirect
	golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446 // indirect
)
