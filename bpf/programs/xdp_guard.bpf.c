// SPDX-License-Identifier: Apache-2.0
/*
 * The guard at XDP: in the driver, before the kernel has made a packet of what came; generic where
 * the kernel has no links for tc.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct xdp_md
#define STOQ_LOAD(ctx, at, to, size) bpf_xdp_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) bpf_xdp_get_buff_len(ctx)
#include <stoq/guard.h>

SEC("xdp.frags")
int xdp_guard(struct xdp_md *ctx)
{
	return stoq_guard(ctx) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Apache-2.0";
