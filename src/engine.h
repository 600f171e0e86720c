/*
** engine: libcurl's multi handle on its socket interface, our timers, and the queues in front of
** the connections. It starts and finishes transfers and knows nothing of what they are for.
**
** One turn of work is `akl_engine_step`. What ended is then taken with `akl_engine_ended`, and who
** has news for the program stands in `news`.
*/
#ifndef AKL_ENGINE_H
#define AKL_ENGINE_H

#include <curl/curl.h>
#include <stdbool.h>

#include "list.h"
#include "poller.h"
#include "process.h"
#include "timers.h"
#include "transfer.h"

enum { AKL_LANES = 64 };

struct akl_call;

/* The way to one host (hosts may share one by chance), and who waits for a place in it. What waits
** is a link of its owner's and not yet a transfer: handles are dear, and many may wait. */
struct akl_lane {
  struct akl_link queue;
  unsigned running;
  bool admitting;   /* those who wait are being let in */
  bool multiplexed; /* the host speaks HTTP/2 */
  bool fresh;       /* the next exchange opens a connection of its own */
};

struct akl_engine {
  CURLM *multi; /* owned */
  struct akl_poller poller;
  struct akl_timers timers;
  akl_usec now;     /* the clock, read once a turn */
  akl_usec curl_at; /* when libcurl wants to be called; AKL_NEVER if it does not */
  struct akl_lane lanes[AKL_LANES];
  struct akl_link idle, running, ended; /* transfers */
  bool (*admit)(
      struct akl_link *who);     /* let the first of a queue in, or say that it cannot be yet */
  struct akl_link calls;         /* every call that is not over; the call room's */
  struct akl_link news;          /* calls whose program should look at them; the call room's */
  struct akl_call *interruption; /* the call that waits for a signal, or NULL; the call room's */
  unsigned idle_count, handles;
  unsigned connections_kept; /* idle ones that libcurl does not close */
  bool tainted;              /* memory ran out inside libcurl: to be given a new multi handle */
  struct akl_process maker;  /* another process must not touch it */
  bool watched;              /* a host's loop waits for the descriptor */
};

/* A new engine, or NULL when the system or memory refuses. When a place in a lane becomes free,
** 'admit' is called for the first that waits there; it takes it out of the queue and starts a transfer,
** or returns false if the place is not enough for it. */
struct akl_engine *akl_engine_new(bool (*admit)(struct akl_link *who));

/* Close it. All calls must be over. In a process other than the one that made it, only the
** descriptors are closed: libcurl would disturb the connections of the parent. */
void akl_engine_free(struct akl_engine *e);

/* Is this another process than the one that made the engine? */
bool akl_engine_foreign(const struct akl_engine *e);

/* Make progress, then wait up to 'timeout' for more. Returns as soon as something ended or has
** news; never waits when something has already. */
void akl_engine_step(struct akl_engine *e, akl_usec timeout);

/* How long until a step has work that no descriptor will announce: 0 for now, AKL_NEVER. */
akl_usec akl_engine_timeout(const struct akl_engine *e);

/* The descriptor that becomes readable when a step has work. From the first call on every step and
** start keeps it so. */
int akl_engine_pollfd(struct akl_engine *e);

/* Make the watched descriptor tell the truth before the host's loop waits for it. Cheap when
** nothing changed. */
void akl_engine_settle(struct akl_engine *e);

/* Make the watched descriptor readable at once: the program has something to do. */
void akl_engine_wake(struct akl_engine *e);

/* An idle transfer, reset, or NULL when memory runs out. */
struct akl_transfer *akl_engine_transfer(struct akl_engine *e);

/* Which lane leads to this host: one of the lower half; the upper half is for downloads. */
unsigned akl_engine_lane(const char *host);

/* May one more begin in this lane, if 'most' may run there at once? Whoever comes anew has to queue
** behind those who wait. */
bool akl_engine_has_place(const struct akl_engine *e, unsigned lane, unsigned most);

/* Let it wait for a place. It may leave the queue at any time. */
void akl_engine_queue(struct akl_engine *e, unsigned lane, struct akl_link *who);

/* Start a prepared transfer in this lane. From now on the engine owns it until it is taken from
** `ended` or dropped. */
void akl_engine_start(struct akl_engine *e, struct akl_transfer *t, unsigned lane);

/* The next transfer that ended, or NULL; it is the caller's until it is recycled. */
struct akl_transfer *akl_engine_ended(struct akl_engine *e);

/* Take a transfer back, wherever it is: running (then it is cut off), ended, taken or not started. */
void akl_engine_recycle(struct akl_engine *e, struct akl_transfer *t);

#endif
