/* A Kafka broker that has nothing to do but to serve: record batches from files that are mapped into memory, at full speed,
   to one member of a group. librdkafka's own mock broker forgets what is older than 5 MiB.
   Usage: broker FOLDER ROUNDS. FOLDER has a file TOPIC-PARTITION each. With more than one round the same batches are served
   again and again, at rising offsets and with risen positions in the source's log, so that each is a new event.
   Prints the port; ends when its input does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include "log.h"

enum { FETCH = 1, LIST_OFFSETS, METADATA, OFFSET_COMMIT = 8, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP,
       SYNC_GROUP, API_VERSIONS = 18 };
enum { ERROR_PARTITION = 3, ERROR_OFFSET = 1 };

/* Each version that is answered; librdkafka takes the highest that both know. */
static const int16_t versions[][3] = {
    {0, 3, 3} /* Produce, which isn't answered: without it librdkafka knows no record batches */, {FETCH, 4, 4},
    {LIST_OFFSETS, 1, 1}, {METADATA, 1, 1}, {OFFSET_COMMIT, 2, 2}, {OFFSET_FETCH, 1, 1}, {FIND_COORDINATOR, 0, 0},
    {JOIN_GROUP, 1, 1}, {HEARTBEAT, 0, 0}, {LEAVE_GROUP, 0, 0}, {SYNC_GROUP, 0, 0}, {API_VERSIONS, 0, 0},
};

static int32_t port;

/* MARK: the group: whoever joins is its leader and only member */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int32_t generation;

static void join(reader_t *reader, writer_t *writer) {
    int32_t length, protocol_length, metadata_length;
    get_counted(reader, 2, &length); /* group */
    get(reader, 4), get(reader, 4);  /* timeouts */
    get_counted(reader, 2, &length); /* member */
    get_counted(reader, 2, &length); /* type */
    get(reader, 4);                  /* how many protocols: the first is taken */
    const uint8_t *protocol = get_counted(reader, 2, &protocol_length);
    const uint8_t *metadata = get_counted(reader, 4, &metadata_length);
    pthread_mutex_lock(&lock);
    put(writer, 0, 2), put(writer, ++generation, 4);
    pthread_mutex_unlock(&lock);
    put_counted(writer, protocol, protocol_length, 2);
    put_text(writer, "member"), put_text(writer, "member"); /* leader, own id */
    put(writer, 1, 4), put_text(writer, "member"), put_counted(writer, metadata, metadata_length, 4);
}

static void sync_group(reader_t *reader, writer_t *writer) {
    int32_t length, assignment_length;
    get_counted(reader, 2, &length), get(reader, 4), get_counted(reader, 2, &length); /* group, generation, member */
    int32_t count = get(reader, 4);
    get_counted(reader, 2, &length);
    const uint8_t *assignment = get_counted(reader, 4, &assignment_length);
    put(writer, 0, 2);
    put_counted(writer, assignment, count == 1 ? assignment_length : 0, 4);
}

/* MARK: answers */

static void metadata(writer_t *writer) {
    put(writer, 1, 4), put(writer, 1, 4), put_text(writer, "127.0.0.1"), put(writer, port, 4), put(writer, -1, 2);
    put(writer, 1, 4); /* controller */
    size_t count_at = writer->count;
    int32_t topics = 0;
    put(writer, 0, 4);
    for (int one = 0; one < partition_count; one++) {
        const char *topic = partitions[one].topic;
        bool is_first = true;
        int32_t count = 0;
        for (int other = 0; other < partition_count; other++) {
            if (strcmp(partitions[other].topic, topic)) continue;
            if (other < one) is_first = false;
            count++;
        }
        if (!is_first) continue;
        topics++;
        put(writer, 0, 2), put_text(writer, topic), put(writer, 0, 1), put(writer, count, 4);
        for (int32_t number = 0; number < count; number++) {
            put(writer, 0, 2), put(writer, number, 4), put(writer, 1, 4);
            put(writer, 1, 4), put(writer, 1, 4), put(writer, 1, 4), put(writer, 1, 4); /* replicas, in sync */
        }
    }
    set(writer->bytes + count_at, topics, 4);
}

/* Walks "topics, each with partitions" of a request and writes the same shape as the answer. */
static void each(reader_t *reader, writer_t *writer, void (*one)(reader_t *, writer_t *, partition_t *, int32_t)) {
    int32_t topics = get(reader, 4);
    put(writer, topics, 4);
    while (topics-- > 0 && reader->at < reader->end) {
        int32_t length, count;
        const uint8_t *topic = get_counted(reader, 2, &length);
        put_counted(writer, topic, length, 2);
        put(writer, count = get(reader, 4), 4);
        while (count-- > 0 && reader->at < reader->end) {
            int32_t number = get(reader, 4);
            one(reader, writer, find(topic, length, number), number);
        }
    }
}

static void list_offset(reader_t *reader, writer_t *writer, partition_t *partition, int32_t number) {
    int64_t time = get(reader, 8);
    put(writer, number, 4), put(writer, partition ? 0 : ERROR_PARTITION, 2), put(writer, -1, 8);
    put(writer, !partition ? -1 : time == -2 ? 0 : partition->end, 8);
}

static void commit_offset(reader_t *reader, writer_t *writer, partition_t *partition, int32_t number) {
    int32_t length;
    get(reader, 8), get_counted(reader, 2, &length);
    put(writer, number, 4), put(writer, partition ? 0 : ERROR_PARTITION, 2);
}

static void fetch_offset(reader_t *reader, writer_t *writer, partition_t *partition, int32_t number) {
    (void)reader;
    put(writer, number, 4), put(writer, -1, 8), put_text(writer, ""), put(writer, partition ? 0 : ERROR_PARTITION, 2);
}

static _Thread_local int64_t fetch_left;
static _Thread_local bool fetch_found;

static void fetch(reader_t *reader, writer_t *writer, partition_t *partition, int32_t number) {
    int64_t offset = get(reader, 8), bytes_max = get(reader, 4), end = partition ? partition->end : -1;
    bool is_known = partition && offset >= 0 && offset <= end;
    put(writer, number, 4), put(writer, is_known ? 0 : partition ? ERROR_OFFSET : ERROR_PARTITION, 2);
    put(writer, end, 8), put(writer, end, 8), put(writer, -1, 4), put(writer, 0, 4);
    size_t begin = writer->count;
    if (is_known && offset < end && fetch_left > 0) {
        serve(partition, offset, bytes_max < fetch_left ? bytes_max : fetch_left, !fetch_found, writer);
    }
    fetch_left -= writer->count - begin;
    fetch_found = fetch_found || writer->count > begin;
    set(writer->bytes + begin - 4, writer->count - begin, 4);
}

static void fetch_all(reader_t *reader, writer_t *writer) {
    get(reader, 4); /* replica */
    int32_t wait_ms = get(reader, 4);
    get(reader, 4); /* the least bytes */
    fetch_left = get(reader, 4), fetch_found = false;
    get(reader, 1); /* isolation */
    put(writer, 0, 4);
    each(reader, writer, fetch);
    if (!fetch_found) usleep(1000 * wait_ms);
}

/* False where the connection is to be closed. */
static bool answer(reader_t *reader, writer_t *writer) {
    int16_t api = get(reader, 2), version = get(reader, 2);
    int32_t correlation = get(reader, 4), length;
    get_counted(reader, 2, &length); /* the client's name */
    writer->count = 4;
    put(writer, correlation, 4);
    switch (api) {
    case API_VERSIONS:
        put(writer, version ? 35 : 0, 2); /* 35: ask again with version 0 */
        put(writer, sizeof versions / sizeof *versions, 4);
        for (size_t one = 0; one < sizeof versions / sizeof *versions; one++) {
            for (int part = 0; part < 3; part++) put(writer, versions[one][part], 2);
        }
        break;
    case METADATA: metadata(writer); break;
    case FIND_COORDINATOR:
        put(writer, 0, 2), put(writer, 1, 4), put_text(writer, "127.0.0.1"), put(writer, port, 4);
        break;
    case JOIN_GROUP: join(reader, writer); break;
    case SYNC_GROUP: sync_group(reader, writer); break;
    case HEARTBEAT:
    case LEAVE_GROUP: put(writer, 0, 2); break;
    case LIST_OFFSETS: get(reader, 4), each(reader, writer, list_offset); break;
    case OFFSET_COMMIT:
        get_counted(reader, 2, &length), get(reader, 4), get_counted(reader, 2, &length), get(reader, 8);
        each(reader, writer, commit_offset);
        break;
    case OFFSET_FETCH: get_counted(reader, 2, &length), each(reader, writer, fetch_offset); break;
    case FETCH: fetch_all(reader, writer); break;
    default: fprintf(stderr, "broker: request %d isn't answered\n", api); return false;
    }
    set(writer->bytes, writer->count - 4, 4);
    return true;
}

static bool move(int socket, uint8_t *bytes, size_t count, bool is_reading) {
    while (count) {
        ssize_t done = is_reading ? read(socket, bytes, count) : write(socket, bytes, count);
        if (done <= 0) return false;
        bytes += done, count -= done;
    }
    return true;
}

static void *connection(void *argument) {
    int socket = (intptr_t)argument, on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    writer_t request = {0}, response = {0};
    uint8_t size[4];
    grow(&response, 4);
    while (move(socket, size, 4, true)) {
        size_t length = big(size, 4);
        request.count = 0;
        if (length > 1 << 24 || !move(socket, grow(&request, length), length, true)) break;
        reader_t reader = {request.bytes, request.bytes + length};
        if (!answer(&reader, &response) || !move(socket, response.bytes, response.count, false)) break;
    }
    close(socket);
    free(request.bytes), free(response.bytes);
    return NULL;
}

static void *until_input_ends(void *unused) {
    char byte;
    while (read(0, &byte, 1) > 0) {}
    exit(0);
    return unused;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    rounds = atoll(arguments[2]);
    DIR *folder = opendir(arguments[1]);
    if (!folder) return perror(arguments[1]), 1;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strchr(entry->d_name, '-')) map(arguments[1], entry->d_name);
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 64)
        || getsockname(listener, (struct sockaddr *)&address, &length))
        return perror("broker"), 1;
    port = ntohs(address.sin_port);
    printf("%d\n", port);
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, NULL, until_input_ends, NULL);
    for (;;) {
        int socket = accept(listener, NULL, NULL);
        if (socket < 0) continue;
        if (pthread_create(&thread, NULL, connection, (void *)(intptr_t)socket)) return 1;
        pthread_detach(thread);
    }
}
