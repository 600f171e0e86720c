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

/* The wait before poll number 'n' (from 0) of a job. */
akl_usec akl_poll_wait(const struct akl_schedule *s, const struct akl_pace *p, unsigned n,
                       double dice);

/* Is it known that a refused create made no job? 'error' is how the exchange ended, 'maybe_sent'
** whether the request may have reached the service. */
bool akl_create_uncertain(const struct akl_error *error, bool maybe_sent);

#endif
