// SPDX-License-Identifier: Apache-2.0
/*
 * STOQ past the stack: hands datagrams for the ports of an engine to the AF_XDP socket of the queue
 * they came by. Everything else goes on to the stack, and so does what comes by a queue without a
 * socket, or after the engine has ended: its sockets leave the map with it.
 *
 * The engine says what it takes in memory that it shares with this program, so it needs no system
 * call and no capability for it.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct xdp_md
#define STOQ_LOAD(ctx, at, to, size) bpf_xdp_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) bpf_xdp_get_buff_len(ctx)
#include <stoq/parse.h>

/* Headers of Ethernet, IP and UDP without tag, option or extension, which STOQ never sends. */
#define PLAIN_V4 (14 + 20 + 8)
#define PLAIN_V6 (14 + 40 + 8)

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STOQ_XSK_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsk_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct stoq_xsk_taken);
} xsk_taken SEC(".maps");

static __always_inline int same(const struct stoq_address *one, const struct stoq_address *other)
{
	__u8 differs = 0;

	for (int i = 0; i < 16; i++)
		differs |= one->bytes[i] ^ other->bytes[i];
	return !differs;
}

static __always_inline int is_taken(const struct stoq_xsk_taken *taken, const struct stoq_packet *p)
{
	__u16 port = p->destination_port;

	if (!(taken->ports[port >> 6] >> (port & 63) & 1))
		return 0;
	for (__u32 i = 0; i < STOQ_XSK_ADDRESSES && i < taken->addresses; i++) {
		if (same(&taken->address[i], &p->destination))
			return 1;
	}
	return 0;
}

SEC("xdp.frags")
int xsk_redirect(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct stoq_xsk_taken *taken = bpf_map_lookup_elem(&xsk_taken, &zero);
	struct stoq_packet p = {};

	/* Longer than the link's packets, a GSO packet of this machine; or than the socket takes. */
	if (!taken || STOQ_LENGTH(ctx) > taken->largest)
		return XDP_PASS;
	if (stoq_parse(ctx, &p) != STOQ_PARSED_IP || p.protocol != STOQ_IP_UDP || p.fragment)
		return XDP_PASS;
	if (p.payload != (p.family == 4 ? PLAIN_V4 : PLAIN_V6) || !is_taken(taken, &p))
		return XDP_PASS;
	return bpf_redirect_map(&xsk_sockets, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Apache-2.0";
