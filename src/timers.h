/*
** timers: deadlines in a binary heap, on the monotonic clock. The heap borrows its timers: they
** live inside the structs that wait. Setting one never fails, because room for it was reserved
** when its owner was made.
*/
#ifndef AKL_TIMERS_H
#define AKL_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t akl_usec; /* microseconds; as a moment, on CLOCK_MONOTONIC */

#define AKL_SECOND ((akl_usec)1000000)
#define AKL_NEVER INT64_MAX

struct akl_timer {
  akl_usec at;
  size_t slot; /* 1 + its place in the heap; 0 when not set */
  void (*fire)(struct akl_timer *timer, akl_usec now);
};

struct akl_timers {
  struct akl_timer **heap; /* owned array of borrowed timers */
  size_t count, reserved, capacity;
};

/* The monotonic clock. */
akl_usec akl_now(void);

/* Seconds as a caller gives them, at least 0 and at most some 285 years, so that sums of a few
** never overflow. NaN counts as 0. */
akl_usec akl_seconds(double seconds);

/* Make room for one more timer. False when memory runs out. */
bool akl_timers_reserve(struct akl_timers *t);

/* Give that room back. The timer must not be set. */
void akl_timers_release(struct akl_timers *t);

/* Let 'timer' fire at 'at', wherever it stood before. */
void akl_timers_set(struct akl_timers *t, struct akl_timer *timer, akl_usec at);

/* Unset it; fine when it is not set. */
void akl_timers_unset(struct akl_timers *t, struct akl_timer *timer);

/* The earliest deadline, or AKL_NEVER. */
akl_usec akl_timers_next(const struct akl_timers *t);

/* Fire every timer that is due at 'now', each at most once, earliest first. A timer is unset
** before it fires, so its function may set it again. */
void akl_timers_run(struct akl_timers *t, akl_usec now);

void akl_timers_free(struct akl_timers *t);

#endif
