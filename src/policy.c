/* policy: see policy.h. Where a number has a source, it stands beside it. */
#include "policy.h"

/* {====== The retry budget ====== */

enum { /* botocore, retries/quota.py */
       BUDGET = 500,
       RETRY_COST = 5,
       TIMEOUT_COST = 10,
       SUCCESS_GAIN = 1,
};

bool akl_budget_take(struct akl_budget *b, const struct akl_error *error) {
  int cost = error->kind == AKL_KIND_TIMEOUT ? TIMEOUT_COST : RETRY_COST;
  if (b->spent + cost > BUDGET)
    return false;
  b->spent += cost;
  return true;
}

void akl_budget_success(struct akl_budget *b) {
  if (b->spent > 0)
    b->spent -= SUCCESS_GAIN;
}

/* ============================================================ }
** {====== The shared pace ====== */

#define PAUSE AKL_SECOND         /* after a refusal without Retry-After */
#define LONGEST_PAUSE 60.0       /* s: a longer Retry-After is the caller's decision */
static const double slowest = 7; /* at most 8 times the schedule */

void akl_pace_refused(struct akl_pace *p, double retry_after, akl_usec now) {
  akl_usec pause = PAUSE;
  if (retry_after > 0 && retry_after <= LONGEST_PAUSE)
    pause = akl_seconds(retry_after);
  if (now + pause > p->not_before)
    p->not_before = now + pause;
  p->slowdown = p->slowdown * 2 + 1;
  if (p->slowdown > slowest)
    p->slowdown = slowest;
}

void akl_pace_success(struct akl_pace *p) {
  p->slowdown = p->slowdown < 0.01 ? 0 : p->slowdown * 0.9;
}

#define AT_ONCE 4                   /* polls that need not be apart, beside the one that goes */
static const double headroom = 1.5; /* below 2, so that chance stays below it too */

void akl_pace_share(struct akl_pace *p, uint32_t *share, akl_usec wait) {
  double rate = wait <= 0 ? 0 : 1e12 / (double)wait; /* millionths per 'wait' microseconds */
  p->rate -= *share;
  *share = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
  p->rate += *share;
}

void akl_pace_join(struct akl_pace *p, uint32_t *share, akl_usec wait) {
  p->jobs++;
  akl_pace_share(p, share, wait);
}

void akl_pace_leave(struct akl_pace *p, uint32_t *share) {
  /* It takes its part of what is in the bucket along: those who stay drain it more slowly. */
  p->level -= p->level / p->jobs--;
  akl_pace_share(p, share, 0);
}

akl_usec akl_pace_turn(struct akl_pace *p, akl_usec now) {
  double speed = headroom * (double)p->rate / 1e12; /* polls per microsecond */
  p->level -= speed * (double)(now - p->drained);
  if (p->level < 0)
    p->level = 0;
  if (p->level > p->jobs) /* each has one turn at most, but the rate may have fallen meanwhile */
    p->level = p->jobs;
  p->drained = now;
  double before = p->level++ - AT_ONCE;
  return before > 0 && speed > 0 ? now + (akl_usec)(before / speed) : now;
}

/* ============================================================ }
** {====== Retries and polls ====== */

#define FIRST_RETRY 0.5  /* s; stripe-node */
#define LONGEST_RETRY 20 /* s; AWS SDKs, standard mode */

bool akl_retry_wait(const struct akl_error *error, unsigned retry, unsigned max_retries,
                    double dice, akl_usec *wait) {
  if (!error->retryable || error->maybe_created || retry >= max_retries ||
      error->retry_after > LONGEST_PAUSE)
    return false;
  double longest = FIRST_RETRY;
  for (unsigned i = 0; i < retry; i++)
    longest *= 2;
  double seconds = dice * (longest < LONGEST_RETRY ? longest : LONGEST_RETRY);
  if (seconds < error->retry_after)
    seconds = error->retry_after;
  *wait = akl_seconds(seconds);
  return true;
}

/* Twice `first`, give or take half of it: as wide as the waits that follow, so that jobs made at the
** same moment stay evenly apart from then on. */
akl_usec akl_poll_first(const struct akl_schedule *s, const struct akl_pace *p, akl_usec age,
                        double dice) {
  double first = (double)s->first, longest = (double)s->max;
  double wait = 1.5 * first < longest ? 1.5 * first : longest;
  wait = (wait + first * dice) * (1 + p->slowdown) - (double)age;
  return wait > 0 ? (akl_usec)wait : 0;
}

akl_usec akl_poll_wait(const struct akl_schedule *s, const struct akl_pace *p, akl_usec age,
                       double dice) {
  double wait = (double)age * (s->factor - 1), longest = (double)s->max;
  if (wait < (double)s->first)
    wait = (double)s->first;
  if (wait > longest)
    wait = longest;
  wait *= (1 + p->slowdown) * (1 + s->jitter * (2 * dice - 1));
  return (akl_usec)wait;
}

/* HTTP statuses with which a server says that it did nothing. 408 is not among them: what it got of
** the request may have been enough. A 503 refuses only when it says when to come again; without
** that it may come from a gateway that lost the answer. */
static bool is_refusal(const struct akl_error *e) {
  if (e->http_status == 503)
    return e->retry_after > 0;
  return e->http_status >= 300 && e->http_status < 500 && e->http_status != 408;
}

bool akl_create_uncertain(const struct akl_error *error, bool maybe_sent) {
  /* Akool's codes are four digits from 1001 on, and each of them says no. Any other number may be a
  ** gateway's, which knows nothing of what happened behind it; so may an unknown one that comes
  ** with an HTTP error. */
  bool akools = error->code > 1000 && error->code < 10000;
  bool known = akl_code_entry(error->code) != NULL;
  bool said_no = error->has_code && (known || (akools && error->http_status < 300));
  return maybe_sent && !said_no && !is_refusal(error);
}

/* ============================================================ } */
