/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kmemdump

#if !defined(_TRACE_KMEMDUMP_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KMEMDUMP_H

#include <linux/kmemdump_backend.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(kmemdump_region,

	TP_PROTO(const struct kmemdump_entry *region),

	TP_ARGS(region),

	TP_STRUCT__entry(
		__field(int, id)
		__field(size_t, size)
		__string(name, kmemdump_entry_name(region))
		__string(owner, kmemdump_entry_owner(region))
	),

	TP_fast_assign(
		__entry->id = kmemdump_entry_id(region);
		__entry->size = kmemdump_entry_size(region);
		__assign_str(name);
		__assign_str(owner);
	),

	TP_printk("id=%d size=%zu owner=%s name=\"%s\"", __entry->id, __entry->size,
		  __get_str(owner), __get_str(name))
);

DEFINE_EVENT(kmemdump_region, kmemdump_register,
	TP_PROTO(const struct kmemdump_entry *region),
	TP_ARGS(region)
);

DEFINE_EVENT(kmemdump_region, kmemdump_unregister,
	TP_PROTO(const struct kmemdump_entry *region),
	TP_ARGS(region)
);

DEFINE_EVENT(kmemdump_region, kmemdump_update,
	TP_PROTO(const struct kmemdump_entry *region),
	TP_ARGS(region)
);

/* A backend was offered a region; error is 0 if it carries it from now on. */
TRACE_EVENT(kmemdump_carried,

	TP_PROTO(const struct kmemdump_backend *be, const struct kmemdump_entry *region,
		 int error),

	TP_ARGS(be, region, error),

	TP_STRUCT__entry(
		__field(int, id)
		__field(int, error)
		__string(backend, be->name)
		__string(name, kmemdump_entry_name(region))
	),

	TP_fast_assign(
		__entry->id = kmemdump_entry_id(region);
		__entry->error = error;
		__assign_str(backend);
		__assign_str(name);
	),

	TP_printk("backend=%s id=%d error=%d name=\"%s\"", __get_str(backend), __entry->id,
		  __entry->error, __get_str(name))
);

#endif /* _TRACE_KMEMDUMP_H */

#include <trace/define_trace.h>
