// A module of its own, so that who tests needs not what a cluster is built from. The versions are
// those of hack/kube, whose CoreDNS has quic-go too: what they share is fetched and compiled once.
module stoq.dev/stock-quic-go

go 1.26.8

require github.com/quic-go/quic-go v0.61.0

require (
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
