/* What a broker reads and writes: numbers are big-endian, texts and bytes have their length before them. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const uint8_t *at, *end; } reader_t;
typedef struct { uint8_t *bytes; size_t count, room; } writer_t;

static int64_t get(reader_t *reader, int bytes) {
    uint64_t value = 0;
    if (reader->end - reader->at < bytes) return reader->at = reader->end, 0;
    for (int place = 0; place < bytes; place++) value = value << 8 | *reader->at++;
    return bytes == 2 ? (int16_t)value : bytes == 4 ? (int32_t)value : (int64_t)value;
}

/* A text or bytes, by the size of its length; NULL of length 0 where there is none. */
static const uint8_t *get_counted(reader_t *reader, int bytes, int32_t *length) {
    *length = get(reader, bytes);
    const uint8_t *at = reader->at;
    if (*length < 0 || reader->end - at < *length) return *length = 0, NULL;
    reader->at += *length;
    return at;
}

static uint8_t *grow(writer_t *writer, size_t count) {
    if (writer->count + count > writer->room) {
        writer->room = 2 * (writer->count + count);
        writer->bytes = realloc(writer->bytes, writer->room);
    }
    writer->count += count;
    return writer->bytes + writer->count - count;
}

static void set(uint8_t *at, uint64_t value, int bytes) {
    for (int place = bytes - 1; place >= 0; place--, value >>= 8) at[place] = value;
}

static void put(writer_t *writer, int64_t value, int bytes) { set(grow(writer, bytes), value, bytes); }

static void put_counted(writer_t *writer, const void *text, int32_t length, int bytes) {
    put(writer, length, bytes);
    if (length) memcpy(grow(writer, length), text, length);
}

static void put_text(writer_t *writer, const char *text) { put_counted(writer, text, strlen(text), 2); }

static uint64_t big(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int place = 0; place < bytes; place++) value = value << 8 | at[place];
    return value;
}
