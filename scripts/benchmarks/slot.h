/* What streams from a replication slot, message by message, of pgoutput's protocol 1. */
#pragma once
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t u64(const char *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return be64toh(value);
}

static uint32_t u32(const char *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

typedef struct {
    PGconn *connection;
    uint64_t end, reached;
    char *buffer;
} slot_t;

static void slot_fail(slot_t *slot) {
    fprintf(stderr, "%s", PQerrorMessage(slot->connection));
    exit(1);
}

static slot_t slot_open(const char *dsn, const char *name, const char *publication, const char *end) {
    char text[1024];
    snprintf(text, sizeof text, "%s replication=database", dsn);
    slot_t slot = {.connection = PQconnectdb(text)};
    if (PQstatus(slot.connection) != CONNECTION_OK) slot_fail(&slot);
    unsigned high = 0, low = 0;
    sscanf(end, "%X/%X", &high, &low);
    slot.end = (uint64_t)high << 32 | low;
    snprintf(text, sizeof text,
             "START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names '\"%s\"')", name, publication);
    PGresult *result = PQexec(slot.connection, text);
    if (PQresultStatus(result) != PGRES_COPY_BOTH) slot_fail(&slot);
    return slot;
}

static void slot_answer(slot_t *slot) {
    char message[34] = {'r'};
    uint64_t position = htobe64(slot->reached);
    for (int field = 0; field < 3; field++) memcpy(message + 1 + 8 * field, &position, 8);
    PQputCopyData(slot->connection, message, sizeof message);
    PQflush(slot->connection);
}

/* The next message, valid until the one after; NULL once all up to the end has come. `lsn`: where it stands in the log. */
static const char *slot_next(slot_t *slot, uint64_t *lsn) {
    while (slot->reached < slot->end) {
        if (slot->buffer) PQfreemem(slot->buffer);
        slot->buffer = NULL;
        if (PQgetCopyData(slot->connection, &slot->buffer, 0) < 0) slot_fail(slot);
        if (slot->buffer[0] == 'k') {
            uint64_t at = u64(slot->buffer + 1);
            if (at > slot->reached) slot->reached = at;
            if (slot->buffer[17]) slot_answer(slot);
        } else if (slot->buffer[0] == 'w') {
            const char *message = slot->buffer + 25;
            *lsn = u64(slot->buffer + 1);
            if (*message == 'C') {
                uint64_t at = u64(message + 10);
                if (at > slot->reached) slot->reached = at;
            }
            return message;
        }
    }
    slot_answer(slot);
    PQfinish(slot->connection);
    return NULL;
}
