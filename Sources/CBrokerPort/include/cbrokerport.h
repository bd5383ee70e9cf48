#ifndef CBROKERPORT_H
#define CBROKERPORT_H

#include <stdint.h>

// librdkafka's mock cluster listens on loopback ports that the kernel picks. This target defines bind(),
// which the dynamic linker finds before libc's, so that a caller can say which ports these are.
//
// Pins belong to the calling thread: they change no bind() of another thread, and none at all while
// nothing is pinned. A pin is used up by the next bind() of an IPv4 stream socket to loopback, port 0.

// The most pins that one thread can have waiting.
#define CBROKERPORT_PINS_MAX 16

// Takes `port` on loopback now, for this thread's next listening socket; several wait in order.
// Returns 0, or errno's value: EADDRINUSE where something listens there, EACCES where the port is
// privileged. (The mock cluster itself aborts the process when it can't listen.)
int cbrokerport_pin(uint16_t port);

// Lets go of this thread's unused ports. Returns how many there were.
int cbrokerport_unpin(void);

#endif
