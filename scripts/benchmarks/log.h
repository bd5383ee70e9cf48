/* A topic's partitions: record batches in files that are mapped into memory, served whole, once or again and again. */
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crc32c.h"
#include "wire.h"

enum { HEADER = 61, PARTITIONS_MAX = 256 };

typedef struct {
    char topic[200];
    int32_t number;
    const uint8_t *bytes;
    size_t size;
    size_t *batches; /* where each begins */
    size_t batch_count;
    int64_t records, end;
} partition_t;

static partition_t partitions[PARTITIONS_MAX];
static int partition_count;
static int64_t rounds, span; /* span: what the positions rise by with each round */

static partition_t *find(const uint8_t *topic, int32_t length, int32_t number) {
    for (int one = 0; one < partition_count; one++) {
        if (partitions[one].number == number && strlen(partitions[one].topic) == (size_t)length
            && !memcmp(partitions[one].topic, topic, length))
            return &partitions[one];
    }
    return NULL;
}

static int64_t digits(const uint8_t *at) {
    int64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) value = 10 * value + *at - '0';
    return value;
}

static uint8_t *raise(uint8_t *at, int64_t by) {
    int64_t value = digits(at) + by;
    uint8_t *end = at;
    while (*end >= '0' && *end <= '9') end++;
    for (uint8_t *place = end - 1; place >= at; place--, value /= 10) *place = '0' + value % 10;
    return end;
}

static const char SEQUENCE[] = "\"sequence\":\"[\\\"", LSN[] = "\"lsn\":";

/* The positions of a batch's events, "sequence":"[\"1\",\"2\"]" … "lsn":2, of as many digits as before. */
static void raise_positions(uint8_t *batch, size_t length, int64_t by) {
    uint8_t *at = batch, *end = batch + length;
    while ((at = memmem(at, end - at, SEQUENCE, sizeof SEQUENCE - 1))) {
        at = raise(at + sizeof SEQUENCE - 1, by);
        at = raise(at + 5, by);
        at = memmem(at, end - at, LSN, sizeof LSN - 1);
        if (!at) return;
        at = raise(at + sizeof LSN - 1, by);
    }
}

/* Whole batches from the one that holds the offset on, at most so many bytes, but one where `or_one`. */
static void serve(partition_t *partition, int64_t offset, size_t bytes_max, bool or_one, writer_t *into) {
    while (offset < partition->end) {
        int64_t round = offset / partition->records, within = offset % partition->records;
        size_t low = 0, high = partition->batch_count - 1;
        while (low < high) {
            size_t middle = (low + high + 1) / 2;
            if ((int64_t)big(partition->bytes + partition->batches[middle], 8) <= within) low = middle;
            else high = middle - 1;
        }
        for (; low < partition->batch_count; low++) {
            const uint8_t *batch = partition->bytes + partition->batches[low];
            size_t length = 12 + big(batch + 8, 4);
            if (length > bytes_max && !or_one) return;
            or_one = false;
            bytes_max -= length < bytes_max ? length : bytes_max;
            uint8_t *copy = grow(into, length);
            memcpy(copy, batch, length);
            offset = round * partition->records + big(batch, 8) + big(batch + 57, 4);
            if (!round) continue;
            set(copy, round * partition->records + big(batch, 8), 8);
            raise_positions(copy + HEADER, length - HEADER, round * span);
            set(copy + 17, crc32c(copy + 21, length - 21), 4);
        }
    }
}

static void map(const char *folder, const char *name) {
    if (partition_count == PARTITIONS_MAX) fprintf(stderr, "broker: too many partitions\n"), exit(1);
    partition_t *partition = &partitions[partition_count];
    const char *dash = strrchr(name, '-');
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(partition->topic, sizeof partition->topic, "%.*s", (int)(dash - name), name);
    partition->number = atoi(dash + 1);
    int file = open(path, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status)) perror(path), exit(1);
    partition_count++;
    if (!(partition->size = status.st_size)) return;
    partition->bytes = mmap(NULL, partition->size, PROT_READ, MAP_SHARED, file, 0);
    if (partition->bytes == MAP_FAILED) perror(path), exit(1);
    close(file);
    const uint8_t *batch = partition->bytes, *end = batch + partition->size;
    for (; batch < end; batch += 12 + big(batch + 8, 4)) {
        if (!(partition->batch_count & (partition->batch_count - 1))) {
            partition->batches = realloc(partition->batches, (2 * partition->batch_count + 1) * sizeof(size_t));
        }
        partition->batches[partition->batch_count++] = batch - partition->bytes;
        partition->records = big(batch, 8) + big(batch + 57, 4);
    }
    partition->end = rounds * partition->records;
    /* Positions don't fall within a partition, so the last one and the first tell how far a round goes. */
    const uint8_t *last = partition->bytes + partition->batches[partition->batch_count - 1];
    const uint8_t *first = memmem(partition->bytes, partition->size, LSN, sizeof LSN - 1), *found = NULL;
    while ((last = memmem(last, end - last, LSN, sizeof LSN - 1))) found = last += sizeof LSN - 1;
    if (!first || !found) return;
    int64_t length = digits(found) - digits(first + sizeof LSN - 1) + 1;
    /* Also over partitions, whose first positions are close to each other. */
    if (2 * length > span) span = 2 * length;
}
