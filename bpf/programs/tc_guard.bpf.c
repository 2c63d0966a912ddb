// SPDX-License-Identifier: Apache-2.0
/*
 * The guard at tc's ingress, for links whose driver has no XDP: generic XDP first makes room in front
 * of every packet that comes, whoever it is for, and copies it for that. Here nothing is copied.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct __sk_buff
#define STOQ_LOAD(ctx, at, to, size) bpf_skb_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) (((struct __sk_buff *)(ctx))->len)
#include <stoq/guard.h>

SEC("classifier")
int tc_guard(struct __sk_buff *ctx)
{
	return stoq_guard(ctx) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

char _license[] SEC("license") = "Apache-2.0";
