// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmemdump: KUnit tests of the panic-time writer.
 *
 * Copyright (C) 2026 the kmemdump authors
 */
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>
#include <linux/zstd.h>

#include "test_backend.h"

#define DATA_SIZE	(3 * KMEMDUMP_FRAME_MAX)
#define ROOM		(4 * SZ_1M)

struct fixture {
	struct kmemdump_table	*table;
	struct kmemdump_test_backend *writer;
	u8			*data;
	void			*dctx_workspace;
	zstd_dctx		*dctx;
	u8			*image;		/* unpacked from the record */
	u64			offset;
	const struct kmemdump_frame *header;
	const struct kmemdump_frame *commit;
};

static void free_buf(void *p)
{
	vfree(p);
}

static void *get_buf(struct kunit *test, size_t size)
{
	void *p = vzalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_buf, p), 0);
	return p;
}

/* One region that does not compress, and a writer with @room for it. */
static struct fixture *set_up(struct kunit *test, size_t room)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->table = kmemdump_test_table(test);
	f->data = get_buf(test, DATA_SIZE);
	prandom_seed_state(&rnd, 1);
	prandom_bytes_state(&rnd, f->data, DATA_SIZE);
	kmemdump_test_add(test, f->table, "data", f->data, DATA_SIZE, 0);

	f->writer = kmemdump_test_writer(test, max_t(size_t, room, 1));
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, f->table, f->writer), 0);

	f->dctx_workspace = get_buf(test, zstd_dctx_workspace_bound());
	f->dctx = zstd_init_dctx(f->dctx_workspace, zstd_dctx_workspace_bound());
	KUNIT_ASSERT_NOT_NULL(test, f->dctx);
	return f;
}

static const struct kmemdump_frame *get_frame(struct kunit *test, const u8 *p, const u8 *end,
					      enum kmemdump_frame_type type, u64 record_id)
{
	const struct kmemdump_frame *frame = (void *)p;

	KUNIT_ASSERT_GE(test, end - p, sizeof(*frame));
	KUNIT_ASSERT_EQ(test, le32_to_cpu(frame->skip_magic), KMEMDUMP_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, le32_to_cpu(frame->skip_size), 56);
	KUNIT_ASSERT_MEMEQ(test, frame->magic, KMEMDUMP_MAGIC, 8);
	KUNIT_ASSERT_EQ(test, le16_to_cpu(frame->type), type);
	KUNIT_ASSERT_EQ(test, le64_to_cpu(frame->record_id), record_id);
	KUNIT_ASSERT_EQ(test, le64_to_cpu(frame->checksum), xxh64(frame, 56, 0));
	return frame;
}

/* Take the record apart the way a reader does, and check all of its framing. */
static void unpack(struct kunit *test, struct fixture *f)
{
	const u8 *p = f->writer->buf, *end = p + f->writer->used;
	u64 id = f->table->room->stream->record_id;

	f->header = get_frame(test, p, end, KMEMDUMP_FRAME_HEADER, id);
	p += sizeof(*f->header);
	f->image = get_buf(test, le64_to_cpu(f->header->length));
	f->offset = 0;
	while (end - p > sizeof(*f->commit)) {
		const struct kmemdump_frame *frame;
		u64 size, length;

		frame = get_frame(test, p, end, KMEMDUMP_FRAME_DATA, id);
		p += sizeof(*frame);
		size = le64_to_cpu(frame->time);
		length = le64_to_cpu(frame->length);
		KUNIT_ASSERT_EQ(test, le64_to_cpu(frame->offset), f->offset);
		KUNIT_ASSERT_LE(test, length, KMEMDUMP_FRAME_MAX);
		KUNIT_ASSERT_LE(test, f->offset + length, le64_to_cpu(f->header->length));
		KUNIT_ASSERT_LE(test, size, end - p);
		KUNIT_ASSERT_EQ(test, zstd_decompress_dctx(f->dctx, f->image + f->offset, length,
							   p, size), length);
		p += size;
		f->offset += length;
	}
	f->commit = get_frame(test, p, end, KMEMDUMP_FRAME_COMMIT, id);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(f->commit->offset), f->offset);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(f->commit->length), le64_to_cpu(f->header->length));
}

/* Whether there is a COMMIT frame among the frames of the record. */
static bool has_commit(const struct fixture *f)
{
	const u8 *p = f->writer->buf, *end = p + f->writer->used;

	while (end - p >= (ptrdiff_t)sizeof(struct kmemdump_frame)) {
		const struct kmemdump_frame *frame = (void *)p;

		if (le16_to_cpu(frame->type) == KMEMDUMP_FRAME_COMMIT)
			return true;
		p += sizeof(*frame);
		if (le16_to_cpu(frame->type) == KMEMDUMP_FRAME_DATA)
			p += min_t(u64, le64_to_cpu(frame->time), end - p);
	}
	return false;
}

static void whole_record(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);
	struct kmemdump_image *image;
	void *want;

	kmemdump_write_all(f->table, NULL);
	KUNIT_EXPECT_EQ(test, f->writer->nr_closed, 1);
	unpack(test, f);

	image = f->table->room->image;
	KUNIT_EXPECT_EQ(test, f->offset, image->size);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(f->commit->flags), 0);
	want = get_buf(test, image->size);
	kmemdump_image_read(image, 0, want, image->size);
	KUNIT_EXPECT_TRUE(test, !memcmp(f->image, want, image->size));
	KUNIT_EXPECT_TRUE(test, !memcmp(f->image + image->data_offset, f->data, DATA_SIZE));
}

/* Write a record to @room bytes, which are too few: it ends in a COMMIT that says so. */
static void write_in(struct kunit *test, struct fixture *f, size_t room)
{
	f->writer->used = 0;
	f->writer->be.max_bytes = room;
	kmemdump_write_all(f->table, NULL);
	KUNIT_ASSERT_LE(test, f->writer->used, room);
	unpack(test, f);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(f->commit->flags), KMEMDUMP_COMMIT_PARTIAL);
}

/* However little room there is, the record fits, has a COMMIT and says that it is partial. */
static void little_room(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);
	size_t room, exact;
	u64 last = 0;

	for (room = 2 * sizeof(struct kmemdump_frame); room < DATA_SIZE; room += 29989) {
		write_in(test, f, room);
		KUNIT_EXPECT_GE(test, f->offset, last);
		/* What is left must be too little for another frame. */
		if (room > SZ_64K)
			KUNIT_EXPECT_LT(test, room - f->writer->used, 2 * PAGE_SIZE);
		last = f->offset;
	}

	/* Try all sizes from where the last frame just fits to where its header does not. */
	write_in(test, f, SZ_64K);
	exact = f->writer->used;
	for (room = exact; room >= exact - sizeof(struct kmemdump_frame); room--)
		write_in(test, f, room);
}

static void no_room(struct kunit *test)
{
	struct fixture *f = set_up(test, 2 * sizeof(struct kmemdump_frame) - 1);

	kmemdump_write_all(f->table, NULL);
	KUNIT_EXPECT_EQ(test, f->writer->used, 0);
	KUNIT_EXPECT_EQ(test, f->writer->nr_closed, 1);
}

static void unread_record_stays(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);

	f->writer->used = 4;
	memcpy(f->writer->buf, "old", 4);
	kmemdump_write_all(f->table, NULL);
	KUNIT_EXPECT_EQ(test, f->writer->used, 4);
	KUNIT_EXPECT_STREQ(test, f->writer->buf, "old");
	KUNIT_EXPECT_EQ(test, kmemdump_serialize(&f->writer->be, f->table->room->stream,
						 f->table->room->image), -EBUSY);
}

/* Whichever write fails, the record gets no COMMIT, and the writer is closed. */
static void failing_writer(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);
	unsigned int writes, i;
	size_t whole;

	kmemdump_write_all(f->table, NULL);
	KUNIT_ASSERT_TRUE(test, has_commit(f));
	writes = f->writer->nr_writes;
	whole = f->writer->used;
	KUNIT_ASSERT_GT(test, writes, 4);

	f->writer->error = -EIO;
	for (i = 1; i <= writes; i++) {
		f->writer->used = 0;
		f->writer->nr_closed = 0;
		f->writer->fail_at_write = i;
		memset(f->writer->buf, 0, whole);
		KUNIT_EXPECT_EQ(test, kmemdump_serialize(&f->writer->be, f->table->room->stream,
							 f->table->room->image), -EIO);
		KUNIT_EXPECT_EQ(test, f->writer->nr_writes, i);
		KUNIT_EXPECT_LT(test, f->writer->used, whole);
		KUNIT_EXPECT_FALSE(test, has_commit(f));
		KUNIT_EXPECT_EQ(test, f->writer->nr_closed, 1);
	}
}

/* Two writers each get the whole record, though a third one fails between them. */
static void several_writers(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);
	struct kmemdump_test_backend *bad = kmemdump_test_writer(test, ROOM);
	struct kmemdump_test_backend *first = f->writer;
	struct kmemdump_test_backend *last = kmemdump_test_writer(test, ROOM);

	bad->be.name = "bad";
	bad->fail_at_write = 2;
	bad->error = -EIO;
	last->be.name = "last";
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, f->table, bad), 0);
	KUNIT_ASSERT_EQ(test, kmemdump_test_attach(test, f->table, last), 0);
	kmemdump_write_all(f->table, NULL);
	KUNIT_EXPECT_EQ(test, bad->used, sizeof(struct kmemdump_frame));
	f->writer = last;
	unpack(test, f);
	KUNIT_EXPECT_EQ(test, f->offset, f->table->room->image->size);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(f->commit->flags), 0);
	f->writer = first;
	unpack(test, f);
	KUNIT_EXPECT_EQ(test, f->offset, f->table->room->image->size);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(f->commit->flags), 0);
}

static void record_probe(struct kunit *test)
{
	struct fixture *f = set_up(test, ROOM);
	struct timespec64 time = { };
	struct kmemdump_frame *header;
	size_t i;

	kmemdump_write_all(f->table, NULL);
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf, f->writer->used, &time), 0);
	KUNIT_EXPECT_EQ(test, time.tv_sec, f->table->room->image->time);
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf, 64, NULL), 0);
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf, 63, NULL), -ENOMSG);
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf, 0, NULL), -ENOMSG);
	/* Not every frame is a header. */
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf + 64, 64, NULL), -ENOMSG);

	for (i = 0; i < 8 * sizeof(struct kmemdump_frame); i++) {
		f->writer->buf[i / 8] ^= 1 << i % 8;
		KUNIT_EXPECT_EQ_MSG(test, kmemdump_record_probe(f->writer->buf, 64, NULL), -ENOMSG,
				    "bit %zu flipped", i);
		f->writer->buf[i / 8] ^= 1 << i % 8;
	}

	/* An id of 0 is refused, even if the checksum is right. */
	header = (void *)f->writer->buf;
	header->record_id = 0;
	header->checksum = cpu_to_le64(xxh64(header, offsetof(struct kmemdump_frame, checksum), 0));
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(f->writer->buf, 64, NULL), -ENOMSG);
}

/* A frame of any type, at any offset, shows that there is a record to keep. */
static void has_frame(struct kunit *test)
{
	const size_t size = sizeof(struct kmemdump_frame);
	struct fixture *f = set_up(test, ROOM);
	struct kmemdump_frame *header;
	u8 *buf;
	size_t i;

	kmemdump_write_all(f->table, NULL);
	header = (void *)f->writer->buf;
	buf = kunit_kzalloc(test, 4 * size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_FALSE(test, kmemdump_has_frame(buf, 4 * size));
	for (i = 0; i <= 3 * size; i++) {
		memset(buf, KMEMDUMP_SKIPPABLE & 0xff, 4 * size);
		memcpy(buf + i, header, size);
		KUNIT_EXPECT_TRUE_MSG(test, kmemdump_has_frame(buf, 4 * size), "at %zu", i);
		KUNIT_EXPECT_FALSE_MSG(test, kmemdump_has_frame(buf, i + size - 1), "up to %zu", i);
	}
	KUNIT_EXPECT_TRUE(test, kmemdump_has_frame(header, size));
	KUNIT_EXPECT_FALSE(test, kmemdump_has_frame(header, size - 1));
	KUNIT_EXPECT_FALSE(test, kmemdump_has_frame(header, 0));

	/* A record of a later kernel must be kept, too, though this kernel can't read it. */
	memcpy(buf, header, size);
	((struct kmemdump_frame *)buf)->version = cpu_to_le16(KMEMDUMP_VERSION + 1);
	((struct kmemdump_frame *)buf)->checksum =
		cpu_to_le64(xxh64(buf, offsetof(struct kmemdump_frame, checksum), 0));
	KUNIT_EXPECT_TRUE(test, kmemdump_has_frame(buf, size));
	KUNIT_EXPECT_EQ(test, kmemdump_record_probe(buf, size, NULL), -ENOMSG);

	/* Without the first byte, the header is broken, but a DATA frame is still found. */
	KUNIT_EXPECT_TRUE(test, kmemdump_has_frame(f->writer->buf + 1, f->writer->used - 1));
	for (i = 0; i < 8 * size; i++) {
		f->writer->buf[i / 8] ^= 1 << i % 8;
		KUNIT_EXPECT_FALSE_MSG(test, kmemdump_has_frame(header, size), "bit %zu flipped",
				       i);
		f->writer->buf[i / 8] ^= 1 << i % 8;
	}
}

static struct kunit_case serialize_cases[] = {
	KUNIT_CASE(whole_record),
	KUNIT_CASE(little_room),
	KUNIT_CASE(no_room),
	KUNIT_CASE(unread_record_stays),
	KUNIT_CASE(failing_writer),
	KUNIT_CASE(several_writers),
	KUNIT_CASE(record_probe),
	KUNIT_CASE(has_frame),
	{}
};

static struct kunit_suite serialize_suite = {
	.name		= "kmemdump-serialize",
	.test_cases	= serialize_cases,
};

kunit_test_suite(serialize_suite);

MODULE_LICENSE("GPL");
