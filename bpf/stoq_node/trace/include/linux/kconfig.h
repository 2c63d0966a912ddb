/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* BCC refuses to compile for a kernel that it believes to have no bpf(2). */
#define CONFIG_BPF_SYSCALL 1
