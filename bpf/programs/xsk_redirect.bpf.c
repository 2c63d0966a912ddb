// SPDX-License-Identifier: Apache-2.0
/*
 * Hands the STOQ packets of a queue to the AF_XDP socket that is registered for it; without a socket,
 * and everything else, they go to the stack. Runs alone, or behind the guard (guard_next).
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define STOQ_LOAD(ctx, at, to, size) bpf_xdp_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) bpf_xdp_get_buff_len(ctx)
#include <stoq/parse.h>

/* By receive queue. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsk_sockets SEC(".maps");

SEC("xdp.frags")
int xsk_redirect(struct xdp_md *ctx)
{
	struct stoq_packet p;

	if (stoq_parse(ctx, &p) != STOQ_PARSED_IP || p.protocol != STOQ_IP_UDP || p.fragment)
		return XDP_PASS;
	if (p.destination_port != STOQ_PORT)
		return XDP_PASS;
	/* The flags are what it returns when there is no socket. */
	return bpf_redirect_map(&xsk_sockets, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Apache-2.0";
