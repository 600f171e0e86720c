/*
** policy: pure arithmetic about when. May this outcome be repeated, how long to wait, when to ask
** again, and how all calls of a client share one retry budget and one pace. No I/O; the clock and
** the dice (a number in [0, 1)) are passed in.
*/
#ifndef AKL_POLICY_H
#define AKL_POLICY_H

#include <stdbool.h>

#include "errors.h"
#include "settings.h"
#include "timers.h"

/* A bucket of tokens, as in the AWS SDKs: when much fails, retries stop and only first tries go
** out. Zeroed memory is a full one. */
struct akl_budget {
  int spent;
};

/* A retry after this error costs this much; false when the budget does not allow it. */
bool akl_budget_take(struct akl_budget *b, const struct akl_error *error);

/* A first try succeeded. */
void akl_budget_success(struct akl_budget *b);

/* How fast the calls of one client may follow each other. Zeroed memory is full speed. */
struct akl_pace {
  akl_usec not_before; /* no request starts before this moment */
  double slowdown;     /* polls wait 1 + this times as long */
  /* A leaky bucket of polls: each fills it by one, and it drains half as fast again as the jobs that
  ** are followed ask for polls. */
  unsigned jobs;
  uint64_t rate;    /* what they ask for, in millionths of a poll per second: all their shares */
  double level;     /* polls */
  akl_usec drained; /* up to when */
};

/* The service said "too frequent": slow everybody down. */
void akl_pace_refused(struct akl_pace *p, double retry_after, akl_usec now);

/* A request was answered normally: recover, little by little. */
void akl_pace_success(struct akl_pace *p);

/* The wait before retry number 'retry' (from 0) of a request that ended with 'error': exponential
** with full jitter, or what the service asked for. False when the request may not be repeated:
** because of its outcome, because the number of retries is used up, or because the service asks
** for a longer wait than anybody would want to sit through (then the caller decides). */
bool akl_retry_wait(const struct akl_error *error, unsigned retry, unsigned max_retries,
                    double dice, akl_usec *wait);

/* The wait before the first request about a job that was made 'age' ago. */
akl_usec akl_poll_first(const struct akl_schedule *s, const struct akl_pace *p, akl_usec age,
                        double dice);

/* The wait before the next request about a job that has been followed for 'age'. */
akl_usec akl_poll_wait(const struct akl_schedule *s, const struct akl_pace *p, akl_usec age,
                       double dice);

/* A job is followed from now on. 'share' is what it adds to the rate, kept by its owner; 'wait' as
** for akl_pace_share. */
void akl_pace_join(struct akl_pace *p, uint32_t *share, akl_usec wait);

/* A job is asked about once every 'wait' from now on. */
void akl_pace_share(struct akl_pace *p, uint32_t *share, akl_usec wait);

/* A job is followed no more. */
void akl_pace_leave(struct akl_pace *p, uint32_t *share);

/* Take a turn for a poll that is due: the moment when it may go. A few may go at once. When many
** are due together they go one after the other, never twice as many in a second as would be if all
** were spread evenly; and nobody is put off for longer than two thirds of their average wait. */
akl_usec akl_pace_turn(struct akl_pace *p, akl_usec now);

/* Is it known that a refused create made no job? 'error' is how the exchange ended, 'maybe_sent'
** whether the request may have reached the service. */
bool akl_create_uncertain(const struct akl_error *error, bool maybe_sent);

#endif
