/* A client that decodes a slot's changes and throws them away: the limit of what streams from one slot.
   Usage: drain DSN SLOT PUBLICATION END_LSN. Prints the number of row changes. */
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
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

/* Walks a tuple's columns; where it ends. */
static const char *tuple(const char *at, uint64_t *bytes) {
    uint16_t columns;
    memcpy(&columns, at, 2);
    at += 2;
    for (int left = ntohs(columns); left > 0; left--) {
        char kind = *at++;
        if (kind == 't' || kind == 'b') {
            uint32_t length = u32(at);
            *bytes += length;
            at += 4 + length;
        }
    }
    return at;
}

static void answer(PGconn *connection, uint64_t lsn) {
    char message[34] = {'r'};
    uint64_t position = htobe64(lsn);
    for (int field = 0; field < 3; field++) memcpy(message + 1 + 8 * field, &position, 8);
    PQputCopyData(connection, message, sizeof message);
    PQflush(connection);
}

int main(int count, char **arguments) {
    if (count != 5) return 2;
    char text[1024];
    snprintf(text, sizeof text, "%s replication=database", arguments[1]);
    PGconn *connection = PQconnectdb(text);
    if (PQstatus(connection) != CONNECTION_OK) return fprintf(stderr, "%s", PQerrorMessage(connection)), 1;
    unsigned high, low;
    sscanf(arguments[4], "%X/%X", &high, &low);
    uint64_t end = (uint64_t)high << 32 | low;
    snprintf(text, sizeof text,
             "START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names '\"%s\"')", arguments[2],
             arguments[3]);
    PGresult *result = PQexec(connection, text);
    if (PQresultStatus(result) != PGRES_COPY_BOTH) return fprintf(stderr, "%s", PQerrorMessage(connection)), 1;
    uint64_t changes = 0, bytes = 0, reached = 0;
    while (reached < end) {
        char *buffer;
        int length = PQgetCopyData(connection, &buffer, 0);
        if (length < 0) return fprintf(stderr, "%s", PQerrorMessage(connection)), 1;
        if (buffer[0] == 'k') {
            uint64_t at = u64(buffer + 1);
            if (at > reached) reached = at;
            if (buffer[17]) answer(connection, reached);
        } else if (buffer[0] == 'w') {
            const char *message = buffer + 25;
            switch (*message) {
            case 'I': tuple(message + 6, &bytes), changes++; break;
            case 'D': tuple(message + 6, &bytes), changes++; break;
            case 'U':
                message += 5;
                if (*message != 'N') message = tuple(message + 1, &bytes);
                tuple(message + 1, &bytes), changes++;
                break;
            case 'C': {
                uint64_t at = u64(message + 10);
                if (at > reached) reached = at;
                break;
            }
            }
        }
        PQfreemem(buffer);
    }
    answer(connection, reached);
    printf("%" PRIu64 "\n", changes);
    PQfinish(connection);
    return 0;
}
