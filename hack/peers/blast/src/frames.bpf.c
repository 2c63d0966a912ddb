// SPDX-License-Identifier: Apache-2.0
/*
 * A network card that receives a blast, as far as a veth can play it. Run on live frames
 * (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18), the program sends each of them out of one end, as from
 * another source; the other end's driver has it as a frame then, for which nobody has made a packet.
 *
 * Each random word is written with its complement. Both sum up to nothing in a checksum (RFC 1071),
 * so that of the frame stays right.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Ethernet's header has 14 bytes, so what follows is aligned to 16 bits and no more. */
typedef __u32 word __attribute__((aligned(2)));

/* Ethernet, IPv6, UDP and the head of QUIC's long header, as frames.rs and packet.rs make them. */
struct frame {
	__u8 ethernet[14];
	__u8 version_to_hop_limit[8];
	word source[4]; /* the first one is the network's */
	__u8 destination[16];
	__u8 udp[8];
	__u8 first_to_length[6];
	word connection[2];
};

/* The end to send by; frames.rs sets it. */
const volatile __u32 device = 0;

SEC("xdp")
int send(struct xdp_md *ctx)
{
	struct frame *frame = (void *)(long)ctx->data;
	__u32 source = bpf_get_prandom_u32(), connection = bpf_get_prandom_u32();

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	frame->source[1] = source;
	frame->source[2] = ~source;
	frame->source[3] = connection;
	frame->connection[0] = ~connection;
	return bpf_redirect(device, 0);
}

/* The least that a receiver can do: what is left is what the blast itself costs. */
SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char _license[] SEC("license") = "Apache-2.0";
