/*
** poller: readiness of many sockets behind one descriptor, which any host loop can watch.
**
** The descriptor (an epoll set) becomes readable when a socket has news, when an armed moment has
** come, or after a wake-up. Changes of interest are put off until `akl_poller_settle`: libcurl says
** "remove" and then "in" again between two requests on a kept connection, and the two cancel out
** without a system call. That is only safe for sockets whose birth and death we are told of;
** libcurl closes others (those of its resolver) by itself, so theirs take effect at once.
*/
#ifndef AKL_POLLER_H
#define AKL_POLLER_H

#include <stdbool.h>
#include <stddef.h>

#include "timers.h"

enum { AKL_READ = 1, AKL_WRITE = 2, AKL_ERROR = 4 };
enum { AKL_READY_MAX = 128 }; /* sockets of which a wait tells */

struct akl_slot; /* what we know of one descriptor */

struct akl_poller {
  int set, timer, wake;   /* epoll, timerfd, eventfd; -1 when closed */
  akl_usec armed;         /* when the timerfd will fire; AKL_NEVER if it will not */
  bool awake;             /* the eventfd is already set */
  struct akl_slot *slots; /* owned, indexed by descriptor */
  int *dirty;             /* owned: descriptors whose wish differs from what the set knows */
  size_t count, dirty_count;
};

struct akl_ready {
  int fd;
  int events; /* AKL_READ | AKL_WRITE | AKL_ERROR */
};

/* All functions that return bool say false when the system refuses; the poller is then not to be
** trusted with what runs on it. */

/* Open a poller in zeroed memory. */
bool akl_poller_open(struct akl_poller *p);

/* Close its descriptors and free its memory. Safe in a forked child: the set is not touched. */
void akl_poller_close(struct akl_poller *p);

/* We opened this socket and will be told when it closes, so changes to it may be put off. */
bool akl_poller_opened(struct akl_poller *p, int fd);

/* Has anybody wanted to read from the socket since it was opened? While a connection is coming up
** only writing is waited for, so then it was up. Also answers for one that was just closed. */
bool akl_poller_was_up(const struct akl_poller *p, int fd);

/* A socket that we opened is about to be closed. */
void akl_poller_closing(struct akl_poller *p, int fd);

/* Wait for these events (0: none) on 'fd' from now on. */
bool akl_poller_want(struct akl_poller *p, int fd, int events);

/* Tell the system about every wish that changed. */
bool akl_poller_settle(struct akl_poller *p);

/* Make the descriptor readable at 'at' at the latest. Early is fine, late is not. */
bool akl_poller_arm(struct akl_poller *p, akl_usec at);

/* Make the descriptor readable now. */
bool akl_poller_wake(struct akl_poller *p);

/* The same, from a signal's handler or another thread: 'wake' is the poller's, which is open. */
void akl_poller_alarm(int wake);

/* Wait up to 'timeout', which is not negative, for news of sockets, and write them to 'ready'. Wake-ups
** and armed moments end the wait and are used up. Returns how many; 0 also when a signal came; -1
** when the system refuses. */
int akl_poller_wait(struct akl_poller *p, akl_usec timeout, struct akl_ready ready[AKL_READY_MAX]);

#endif
