#define _GNU_SOURCE  // RTLD_NEXT, dup3

#include "cbrokerport.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

static bind_function next_bind;
static pthread_once_t next_bind_once = PTHREAD_ONCE_INIT;

// Sockets that already listen on the pinned ports, first come first.
static _Thread_local int pins[CBROKERPORT_PINS_MAX];
static _Thread_local int pin_count;

static void find_next_bind(void) {
    next_bind = (bind_function)dlsym(RTLD_NEXT, "bind");
}

static int real_bind(int fd, const struct sockaddr *address, socklen_t length) {
    pthread_once(&next_bind_once, find_next_bind);
    if (next_bind) return next_bind(fd, address, length);
    return (int)syscall(SYS_bind, fd, address, length);  // linked statically: there is no next one
}

int cbrokerport_pin(uint16_t port) {
    if (port == 0) return EINVAL;
    if (pin_count == CBROKERPORT_PINS_MAX) return ENOSPC;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;

    // A broker that is started again finds connections of its predecessor in TIME_WAIT.
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // Only listening, not binding, tells for sure that nobody else listens there.
    if (real_bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, SOMAXCONN) != 0) {
        int reason = errno;
        close(fd);
        return reason;
    }
    pins[pin_count++] = fd;
    return 0;
}

int cbrokerport_unpin(void) {
    int unused = pin_count;
    while (pin_count > 0) close(pins[--pin_count]);
    return unused;
}

static int asks_for_any_port(int fd, const struct sockaddr *address, socklen_t length) {
    struct sockaddr_in wanted;
    if (!address || length < sizeof wanted || address->sa_family != AF_INET) return 0;
    memcpy(&wanted, address, sizeof wanted);
    if (wanted.sin_port != 0 || wanted.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) return 0;
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

// Puts the pinned socket in the place of `fd`, flags and all.
static int become(int fd, int pinned) {
    int descriptor_flags = fcntl(fd, F_GETFD), status_flags = fcntl(fd, F_GETFL);
    int on_exec = descriptor_flags >= 0 && (descriptor_flags & FD_CLOEXEC) ? O_CLOEXEC : 0;
    int result = dup3(pinned, fd, on_exec) < 0 || (status_flags >= 0 && fcntl(fd, F_SETFL, status_flags) < 0) ? -1 : 0;
    int reason = errno;
    close(pinned);
    errno = reason;
    return result;
}

// glibc declares the address as a transparent union of pointers, other libraries as a plain pointer.
#ifdef __GLIBC__
int bind(int fd, __CONST_SOCKADDR_ARG argument, socklen_t length) {
#else
int bind(int fd, const struct sockaddr *argument, socklen_t length) {
#endif
    const struct sockaddr *address;
    memcpy(&address, &argument, sizeof address);
    if (pin_count == 0 || !asks_for_any_port(fd, address, length)) return real_bind(fd, address, length);

    int pinned = pins[0];
    pin_count--;
    memmove(pins, pins + 1, (size_t)pin_count * sizeof pins[0]);
    return become(fd, pinned);
}
