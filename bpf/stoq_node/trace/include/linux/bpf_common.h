/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* BCC's own headers ask for this file and take nothing from it that trace.bcc.c needs. */
