/* SPDX-License-Identifier: GPL-2.0 */
/* kmemdump: what powerpc code has to know of its dumps through firmware. */
#ifndef _ASM_POWERPC_KMEMDUMP_FADUMP_H
#define _ASM_POWERPC_KMEMDUMP_FADUMP_H

#include <linux/types.h>

#ifdef CONFIG_KMEMDUMP_FADUMP
bool kmemdump_fadump_scan(unsigned long rtas_node);
bool kmemdump_fadump_waiting(void);
bool kmemdump_fadump_in_charge(void);
void kmemdump_fadump_reserve(void);
#else
static inline bool kmemdump_fadump_scan(unsigned long rtas_node) { return false; }
static inline bool kmemdump_fadump_waiting(void) { return false; }
static inline bool kmemdump_fadump_in_charge(void) { return false; }
static inline void kmemdump_fadump_reserve(void) { }
#endif

#endif /* _ASM_POWERPC_KMEMDUMP_FADUMP_H */
