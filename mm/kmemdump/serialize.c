// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: the record.
 *
 * Turns the core image into a record (see the uapi header) for a writer. The record is only
 * appended to, one frame after the other, each with its own checksums; the COMMIT frame at
 * the end makes it a finished one. The room for that is kept free from the start.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#define pr_fmt(fmt) "kmemdump: " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/xxhash.h>

#include "kmemdump.h"

/* Level 3 is what zstd itself takes by default. */
#define COMPRESSION_LEVEL	3

struct kmemdump_stream *kmemdump_stream_alloc(void)
{
	struct kmemdump_stream *stream = kzalloc(sizeof(*stream), GFP_KERNEL);
	size_t workspace_size;

	if (!stream)
		return NULL;

	stream->params = zstd_get_params(COMPRESSION_LEVEL, KMEMDUMP_FRAME_MAX);
	stream->params.fParams.checksumFlag = 1;
	workspace_size = zstd_cctx_workspace_bound(&stream->params.cParams);
	stream->out_size = zstd_compress_bound(KMEMDUMP_FRAME_MAX);

	stream->workspace = kvmalloc(workspace_size, GFP_KERNEL);
	stream->in = kvmalloc(KMEMDUMP_FRAME_MAX, GFP_KERNEL);
	stream->out = kvmalloc(stream->out_size, GFP_KERNEL);
	if (!stream->workspace || !stream->in || !stream->out)
		goto fail;

	stream->cctx = zstd_init_cctx(stream->workspace, workspace_size);
	if (!stream->cctx)
		goto fail;

	/* By this id a reader knows the frames of this record from those of an older one. */
	stream->record_id = get_random_u64() | 1;
	return stream;

fail:
	kmemdump_stream_free(stream);
	return NULL;
}

void kmemdump_stream_free(struct kmemdump_stream *stream)
{
	if (!stream)
		return;
	kvfree(stream->out);
	kvfree(stream->in);
	kvfree(stream->workspace);
	kfree(stream);
}

static void fill_frame(struct kmemdump_frame *frame, enum kmemdump_frame_type type,
		       u64 record_id, u64 offset, u64 length, u64 time)
{
	*frame = (struct kmemdump_frame) {
		.skip_magic	= cpu_to_le32(KMEMDUMP_SKIPPABLE),
		.skip_size	= cpu_to_le32(sizeof(*frame) -
					      offsetofend(struct kmemdump_frame, skip_size)),
		.version	= cpu_to_le16(KMEMDUMP_VERSION),
		.type		= cpu_to_le16(type),
		.record_id	= cpu_to_le64(record_id),
		.offset		= cpu_to_le64(offset),
		.length		= cpu_to_le64(length),
		.time		= cpu_to_le64(time),
	};
	memcpy(frame->magic, KMEMDUMP_MAGIC, sizeof(frame->magic));
}

static void seal_frame(struct kmemdump_frame *frame)
{
	frame->checksum = cpu_to_le64(xxh64(frame, offsetof(struct kmemdump_frame, checksum), 0));
}

/* Compress [@offset, @offset + @len) of the image into stream->out. */
static size_t compress(struct kmemdump_stream *stream, const struct kmemdump_image *image,
		       u64 offset, size_t len)
{
	kmemdump_image_read(image, offset, stream->in, len);
	return zstd_compress_cctx(stream->cctx, stream->out, stream->out_size,
				  stream->in, len, &stream->params);
}

/*
 * Write as much of the image as @be has room for. Sets *@carried to the bytes
 * of the image that are in the record.
 */
static int write_data(struct kmemdump_backend *be, struct kmemdump_stream *stream,
		      const struct kmemdump_image *image, u64 room, u64 *carried)
{
	size_t len = KMEMDUMP_FRAME_MAX;
	struct kmemdump_frame frame;
	u64 offset = 0;
	int ret;

	while (offset < image->size) {
		size_t size;

		touch_nmi_watchdog();
		len = min_t(u64, len, image->size - offset);
		size = compress(stream, image, offset, len);
		/*
		 * An error of zstd is larger than any size. zstd_is_error() comes with the
		 * decompressor, which the kernel may not have.
		 */
		if (size > stream->out_size)
			return -EIO;

		if (sizeof(frame) + size > room) {
			/* Fill what is left with smaller frames. */
			len /= 2;
			if (len < PAGE_SIZE)
				break;
			continue;
		}

		fill_frame(&frame, KMEMDUMP_FRAME_DATA, stream->record_id, offset, len, size);
		seal_frame(&frame);
		ret = be->writer->write(be, &frame, sizeof(frame));
		if (!ret)
			ret = be->writer->write(be, stream->out, size);
		if (ret)
			return ret;
		room -= sizeof(frame) + size;
		offset += len;
		*carried = offset;
	}
	return 0;
}

static int write_record(struct kmemdump_backend *be, struct kmemdump_stream *stream,
			const struct kmemdump_image *image, u64 *carried)
{
	struct kmemdump_frame frame;
	int ret;

	if (be->max_bytes < 2 * sizeof(frame))
		return -ENOSPC;

	fill_frame(&frame, KMEMDUMP_FRAME_HEADER, stream->record_id, 0, image->size, image->time);
	seal_frame(&frame);
	ret = be->writer->write(be, &frame, sizeof(frame));
	if (ret)
		return ret;

	ret = write_data(be, stream, image, be->max_bytes - 2 * sizeof(frame), carried);
	if (ret)
		return ret;

	fill_frame(&frame, KMEMDUMP_FRAME_COMMIT, stream->record_id, *carried, image->size,
		   image->time);
	if (*carried < image->size)
		frame.flags = cpu_to_le32(KMEMDUMP_COMMIT_PARTIAL);
	seal_frame(&frame);
	return be->writer->write(be, &frame, sizeof(frame));
}

/*
 * Write @image as one record to the writer @be and say in the log how it went.
 * Panic context. Returns 0 also for a partial record, which says that it is
 * one.
 */
int kmemdump_serialize(struct kmemdump_backend *be, struct kmemdump_stream *stream,
		       const struct kmemdump_image *image)
{
	u64 carried = 0;
	int ret = 0;

	if (be->writer->open)
		ret = be->writer->open(be);
	if (!ret)
		ret = write_record(be, stream, image, &carried);
	if (be->writer->close)
		be->writer->close(be);

	if (ret == -EBUSY)
		pr_err("%s: this crash is NOT saved: a dump of an earlier one is in the way, unread\n",
		       be->name);
	else if (ret)
		pr_err("%s: dump failed after %llu of %llu bytes: %pe\n",
		       be->name, carried, image->size, ERR_PTR(ret));
	else if (carried < image->size)
		pr_warn("%s: dump saved in part, %llu of %llu bytes: no room for more\n",
			be->name, carried, image->size);
	else
		pr_notice("%s: dump saved, %u regions, %llu bytes\n",
			  be->name, image->nr_regions, image->size);
	return ret;
}

/* Whether @buf has a good frame, of any type, record and version. */
static bool is_frame(const void *buf)
{
	struct kmemdump_frame frame, want;

	memcpy(&frame, buf, sizeof(frame));
	fill_frame(&want, le16_to_cpu(frame.type), le64_to_cpu(frame.record_id),
		   le64_to_cpu(frame.offset), le64_to_cpu(frame.length), le64_to_cpu(frame.time));
	want.flags = frame.flags;
	want.version = frame.version;
	seal_frame(&want);
	return !memcmp(&frame, &want, sizeof(frame)) && frame.record_id;
}

/**
 * kmemdump_has_frame() - whether a part of a kmemdump record is in a buffer
 * @buf:	what a storage backend found at boot; not trusted
 * @size:	bytes
 *
 * No reader can make anything of a buffer without a good frame.
 *
 * Context: any.
 * Return: true if a good frame of a record stands anywhere in it, as a whole.
 */
bool kmemdump_has_frame(const void *buf, size_t size)
{
	const u8 *p = buf, *end = buf + size;

	for (; end - p >= (ptrdiff_t)sizeof(struct kmemdump_frame); p++) {
		p = memchr(p, KMEMDUMP_SKIPPABLE & 0xff, end - p);
		if (!p || end - p < (ptrdiff_t)sizeof(struct kmemdump_frame))
			return false;
		if (get_unaligned_le32(p) == KMEMDUMP_SKIPPABLE && is_frame(p))
			return true;
	}
	return false;
}
EXPORT_SYMBOL_GPL(kmemdump_has_frame);

/**
 * kmemdump_record_probe() - whether a buffer starts a kmemdump record
 * @buf:	what a storage backend found at boot; not trusted
 * @size:	bytes
 * @time:	set to the time of the crash if it is known, else to zero; may be
 *		%NULL
 *
 * Looks at the HEADER frame only. What follows may be torn, which the reader
 * of the record finds out.
 *
 * Context: any.
 * Return: 0 or %-ENOMSG.
 */
int kmemdump_record_probe(const void *buf, size_t size, struct timespec64 *time)
{
	struct kmemdump_frame frame;

	if (size < sizeof(frame) || !is_frame(buf))
		return -ENOMSG;
	memcpy(&frame, buf, sizeof(frame));
	if (le16_to_cpu(frame.type) != KMEMDUMP_FRAME_HEADER || frame.flags ||
	    le16_to_cpu(frame.version) != KMEMDUMP_VERSION)
		return -ENOMSG;

	if (time) {
		time->tv_sec = le64_to_cpu(frame.time);
		time->tv_nsec = 0;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(kmemdump_record_probe);
