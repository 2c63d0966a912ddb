/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What BCC's headers compare: one version after all that they know of. Only kprobes, of which there
 * are none here, must carry the version of the kernel that runs. */
#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + (patch))
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 6, 0)
