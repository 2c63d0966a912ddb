// SPDX-License-Identifier: Apache-2.0
/*
 * Hands what an application writes on a connection within its pod straight to the receiving socket,
 * past TCP and loopback: sockops collects both ends, sk_msg redirects. For the benchmark of that idea;
 * docs/decisions/0034 says why no pod runs it.
 *
 * IPv6 only. The ends know each other by the application's address and port: behind a redirect of
 * nftables that is the one half of the four that both see alike.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FAMILY_IPV6 10

enum end {
	DIALLED = 0, /* the application's */
	ACCEPTED = 1,
};

struct end_key {
	__u64 netns; /* its cookie: addresses are a namespace's own */
	__u32 address[4];
	__u32 port;
	__u32 end; /* enum end */
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__type(key, struct end_key);
	__type(value, __u32);
} ends SEC(".maps");

/* The port on which the sidecar would listen, index 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} port SEC(".maps");

/* Messages handed over, index 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} redirected SEC(".maps");

static __always_inline __u32 listening(void)
{
	__u32 zero = 0, *found = bpf_map_lookup_elem(&port, &zero);

	return found ? *found : 0;
}

/*
 * The ends of a connection, by each kind of context. Not inlined: merged branches would read the context
 * through a computed pointer, which the verifier refuses.
 */
#define KEY_OF(name, context, side, port_of)                                          \
	static __attribute__((noinline)) void name(context *ctx, struct end_key *key) \
	{                                                                             \
		key->netns = bpf_get_netns_cookie(ctx);                               \
		key->address[0] = ctx->side##_ip6[0];                                 \
		key->address[1] = ctx->side##_ip6[1];                                 \
		key->address[2] = ctx->side##_ip6[2];                                 \
		key->address[3] = ctx->side##_ip6[3];                                 \
		key->port = port_of(ctx->side##_port);                                \
	}

KEY_OF(dialling, struct bpf_sock_ops, local, )
KEY_OF(accepting, struct bpf_sock_ops, remote, bpf_ntohl)
KEY_OF(from_application, struct sk_msg_md, local, )
KEY_OF(from_sidecar, struct sk_msg_md, remote, bpf_ntohl)

SEC("sockops")
int collect(struct bpf_sock_ops *ctx)
{
	struct end_key key = {};

	if (ctx->family != FAMILY_IPV6)
		return 1;
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		key.end = DIALLED;
		dialling(ctx, &key);
	} else if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && ctx->local_port == listening()) {
		key.end = ACCEPTED;
		accepting(ctx, &key);
	} else {
		return 1;
	}
	bpf_sock_hash_update(ctx, &ends, &key, BPF_ANY);
	return 1;
}

SEC("sk_msg")
int hand_over(struct sk_msg_md *ctx)
{
	struct end_key key = {};
	__u32 zero = 0;

	if (ctx->local_port == listening()) {
		key.end = DIALLED;
		from_sidecar(ctx, &key);
	} else {
		key.end = ACCEPTED;
		from_application(ctx, &key);
	}
	if (bpf_msg_redirect_hash(ctx, &ends, &key, BPF_F_INGRESS) == SK_PASS) {
		__u64 *count = bpf_map_lookup_elem(&redirected, &zero);

		if (count)
			__sync_fetch_and_add(count, 1);
	}
	/* Without the other end it goes by TCP. */
	return SK_PASS;
}

char _license[] SEC("license") = "Apache-2.0";
