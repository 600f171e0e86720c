/*
** wire: a network and a clock for a target that sends requests. Every connection that libcurl opens
** is one end of a pair of sockets; the target says what comes back on it. Nothing leaves the process.
**
** The clock stands still while anything can happen and jumps when nothing can, so that an hour of
** waiting takes no time. It jumps further the longer an input takes: what ends at all, ends soon.
**
** The linker puts these in the place of what our sources call (socket, epoll_wait, clock_gettime,
** time); `connect` stands in for libcurl's.
*/
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include <stdbool.h>
#include <stddef.h>

/* What comes back for a request. */
struct wire_reply {
  const char *bytes; /* borrowed until the next request or wire_reset */
  size_t size;
  size_t slice;                        /* so many bytes at once; 0: all */
  enum { WIRE_KEEP, WIRE_CLOSE } then; /* close: end of file behind the bytes */
};

/* A whole request has come, as the 'number'th (from 0) since the last reset. */
typedef void wire_server(void *user, unsigned number, const char *request, size_t size,
                         struct wire_reply *reply);

/* Forget all connections and start a new clock; from now on 'server' answers. Names are not
** resolved any more: libcurl would start a thread for it, which no clock of ours could wait for. */
void wire_reset(wire_server *server, void *user);

#endif
