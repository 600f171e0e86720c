/*
** settings: the options of a client or of one call, checked and in C units. Made once, never
** changed, shared by counting: thousands of calls point at one.
*/
#ifndef AKL_SETTINGS_H
#define AKL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "timers.h"

/* When to ask again: as soon as the job's age has grown by `factor`, but not sooner than `first` and
** not later than `max` after the last answer, spread by `jitter` (0.2: from 80 % to 120 %). */
struct akl_schedule {
  akl_usec first, max;
  double factor, jitter;
};

struct akl_settings {
  unsigned refs;
  akl_usec connect_timeout; /* name, connection and TLS together */
  akl_usec timeout;         /* one info, credits or token exchange */
  akl_usec create_timeout;  /* one create */
  akl_usec stall_timeout;   /* a download without a byte */
  akl_usec wait_timeout;    /* following a job */
  struct akl_schedule poll;
  int64_t max_bytes;        /* of a download */
  unsigned max_retries;     /* in a row */
  unsigned max_connections; /* exchanges at once with one host */
  bool allow_http;          /* plain http, not only to this machine */
  bool allow_private;       /* a result may be at a private address */
  bool overwrite, resume;   /* downloads */
  bool events;              /* somebody wants to hear of every request */
  char *proxy;              /* owned; NULL: as the environment says; "": none */
  char *ca_file;            /* owned; NULL: the system's */
  char *agent;              /* owned: a whole header line, "User-Agent: …" */
};

/* New, zeroed settings with one reference, or NULL when memory runs out. */
struct akl_settings *akl_settings_new(void);

struct akl_settings *akl_settings_ref(struct akl_settings *s);

/* Give one reference back; NULL is fine. */
void akl_settings_unref(struct akl_settings *s);

#endif
